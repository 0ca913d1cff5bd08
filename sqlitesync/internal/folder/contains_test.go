package folder

import (
	"os"
	"path/filepath"
	"testing"
)

func TestContains(t *testing.T) {
	base := t.TempDir()
	at := func(elements ...string) string { return filepath.Join(append([]string{base}, elements...)...) }
	for _, directory := range []string{at("shared", "sub"), at("shared2"), at("home", "data")} {
		must(t, os.MkdirAll(directory, 0o755))
	}
	for _, file := range []string{at("shared", "app.db"), at("shared", "sub", "app.db"), at("home", "app.db")} {
		must(t, os.WriteFile(file, nil, 0o644))
	}
	for link, target := range map[string]string{
		at("toShared"):              at("shared"),
		at("home", "toSub"):         filepath.Join("..", "shared", "sub"),
		at("home", "linked.db"):     at("shared", "app.db"),
		at("home", "new.db"):        filepath.Join("..", "toShared", "new.db"),
		at("home", "chain.db"):      "new.db",
		at("home", "outside.db"):    at("home", "data", "new.db"),
		at("shared", "outside.db"):  at("home", "app.db"),
		at("shared", "outside-dir"): at("home", "data"),
	} {
		if err := os.Symlink(target, link); err != nil {
			t.Skip("no symbolic links here:", err)
		}
	}
	t.Chdir(at("shared", "sub"))
	for _, test := range []struct {
		folder, file string
		want         bool
	}{
		{at("shared"), at("shared", "app.db"), true},
		{at("shared"), at("shared", "sub", "app.db"), true},
		{at("shared"), at("shared"), true},
		{at("shared"), at("shared", "new.db"), true},
		{at("shared"), at("shared", "no", "such", "directory", "new.db"), true},
		{at("shared"), at("home", "app.db"), false},
		{at("shared"), at("home", "new", "new.db"), false},
		{at("shared"), at("shared2", "app.db"), false}, // shares the beginning of the name only
		{at("shared"), at("shared.db"), false},
		{at("shared", "sub"), at("shared", "app.db"), false},
		{at("shared") + string(filepath.Separator), at("shared", ".", "sub", "..", "app.db"), true},
		{at("toShared"), at("shared", "app.db"), true},
		{at("shared"), at("toShared", "app.db"), true},
		{at("toShared"), at("toShared", "new.db"), true},
		{at("shared"), at("home", "toSub", "new.db"), true},
		{at("shared"), at("home", "linked.db"), true},
		{at("shared"), at("home", "new.db"), true},
		{at("shared"), at("home", "chain.db"), true},
		{at("shared"), at("home", "outside.db"), false},
		{at("shared"), at("shared", "outside.db"), false},
		{at("shared"), at("shared", "outside-dir", "new.db"), false},
		{at("shared"), "new.db", true},
		{"..", "app.db", true},
		{".", filepath.Join("..", "app.db"), false},
	} {
		got, err := Contains(test.folder, test.file)
		if err != nil || got != test.want {
			t.Errorf("Contains(%s, %s) = %v, %v", test.folder, test.file, got, err)
		}
	}

	_, err := Contains(at("absent"), at("home", "app.db"))
	wantError(t, err, ErrMissing)
	_, err = Contains(at("home", "app.db"), at("home", "app.db"))
	wantError(t, err, ErrMissing)
	must(t, os.Symlink("circle", at("home", "circle")))
	if inside, err := Contains(at("shared"), at("home", "circle")); err == nil {
		t.Errorf("a link to itself: %v", inside)
	}
}
