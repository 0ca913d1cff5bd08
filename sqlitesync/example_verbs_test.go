package sqlitesync_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// Every function of the package and every method of a Syncer is shown at work:
// the documentation prints the examples below what they are about. The methods of
// a View are shown together.
func TestEveryVerbHasAnExample(t *testing.T) {
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	verbs, examples := make(map[string]string), make(map[string]bool)
	for _, name := range names {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, declaration := range file.Decls {
			function, ok := declaration.(*ast.FuncDecl)
			switch {
			case !ok:
			case strings.HasSuffix(name, "_test.go"):
				examples[function.Name.Name] = true
				if strings.HasPrefix(function.Name.Name, "Example") {
					ast.Inspect(function, func(node ast.Node) bool {
						if used, ok := node.(*ast.SelectorExpr); ok {
							if of, ok := used.X.(*ast.Ident); ok && of.Name == "view" {
								examples["view."+used.Sel.Name] = true
							}
						}
						return true
					})
				}
			case !function.Name.IsExported():
			case function.Recv == nil:
				verbs["Example"+function.Name.Name] = name
			case receiver(function) == "Syncer":
				verbs["ExampleSyncer_"+function.Name.Name] = name
			case receiver(function) == "View":
				verbs["view."+function.Name.Name] = name
			}
		}
	}
	if len(verbs) < 25 {
		t.Errorf("only %d verbs were found", len(verbs))
	}
	for example, name := range verbs {
		if !examples[example] {
			t.Errorf("%s declares a verb that no example shows: %s", name, example)
		}
	}
}

// receiver returns the type whose method a function is.
func receiver(function *ast.FuncDecl) string {
	pointer, ok := function.Recv.List[0].Type.(*ast.StarExpr)
	if !ok {
		return ""
	}
	name, _ := pointer.X.(*ast.Ident)
	return name.Name
}
