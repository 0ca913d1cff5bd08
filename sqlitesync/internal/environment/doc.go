// Package environment says what an engine takes from the world around it that a test must be able to put something else in
// the place of: the time, the steps in the folder, where keys are, and when it works.
//
// It travels in the context that is given to Create, Join, Open and Look, and not in their options, for two reasons. No public
// option exists that only tests use. And the code of an app that is tested stays as it is: package synctest hands it a context,
// whatever options it chooses itself.
package environment
