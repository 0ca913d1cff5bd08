// Package synctest lets an app be tested on several devices in one process, over folders that a sync client carries between
// them and that everything goes wrong with which goes wrong in life. It is what sqlitesync is tested with itself.
//
// [Run] makes a [World] from a seed. Each [Device] in it has a database file, keys, a folder and a clock of its own; a courier
// carries files from folder to folder, as Dropbox or Syncthing do. [World.Allow] says which [Fault]s may happen: files are late,
// cut off, deleted, copied under the names of conflicts; disks fail; processes die at any step; backups come back; clocks jump.
// Nothing happens by itself: [World.Step] lets time pass, files travel and every device make a pass, and [World.Settle] ends all
// faults, waits until nothing moves, and checks what must hold whatever has happened:
//
//   - all devices show the same rows, and say that they are healthy;
//   - databases are whole, and foreign keys that held hold;
//   - no device touched a file that is not its own;
//   - once nobody writes, no file is written either, and the folder has few files;
//   - no value that stands in a table stands readable in the folder;
//   - what a device has read it never forgets, but with a backup or a power cut.
//
// That no edit of the app got lost only the app can say, since only it knows what it wrote: compare after Settle, as the tests
// of this package do. Edits that a merge overruled stand among [sqlitesync.Syncer.Conflicts], and two things take edits from an
// honest device, a power cut and a backup: those that were in no folder yet, whether a pass followed or not. The delete of a row
// that was made since the last pass gets into none. Test with the faults first that your app can be asked to survive;
// [World.Hits] tells which of them happened.
//
// # On your own app
//
// An [App] opens the database of a device as your program does: the code under test needs nothing but the context that it is
// given, which carries the device's clock, keys and disk to [sqlitesync.Create], [sqlitesync.Join] and [sqlitesync.Open], whatever
// options it chooses; background work is off. It is called again after each crash, so keep no handle, and ask [Device.DB] and
// [Device.Syncer] each time. [Schema] is the App of those who only have a schema.
//
// The seed alone decides what happens, and a run that has failed fails again with it, except that two things are not in its
// hands: what the app does by itself, in goroutines or by the time of day, and the random bytes of keys and ids, which decide
// between edits of one millisecond. In a test, call testing/cryptotest.SetGlobalRandom with the seed and they are the same, too.
package synctest
