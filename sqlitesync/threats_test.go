package sqlitesync_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// adversaries are those of FORMAT.md's threat model, in its order.
var adversaries = []string{
	"A host that reads",
	"A host that writes, deletes, rolls back, reorders, withholds, forks",
	"An outsider who learnt the key of an epoch",
	"Someone who gets hold of an invite code, and can reach the folder",
	"A member that turns hostile",
	"A reader who tries to write",
	"A revoked device, with an old clock",
	"A stolen database file, or a backup of it",
	"A stolen key file",
}

// decoders names what reads bytes of others, and its fuzz target.
var decoders = map[string]string{
	"segment header": "FuzzSegment", "payload, packed": "FuzzUnpack", "payload": "FuzzDecode", "record": "FuzzRecord",
	"invite file": "FuzzInviteFile", "code": "FuzzCode", "head": "FuzzHead", "marker": "FuzzMarker",
	"table definition": "FuzzDefinition", "key entry": "FuzzKeyEntry", "segment name": "FuzzParseSegmentName",
}

func TestEveryClaimOfTheThreatModelHasATest(t *testing.T) {
	text, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	names := testNames(t)
	claims, violations := threatViolations(string(text), names)
	report(t, violations)
	if claims < 30 {
		t.Errorf("%d claims were read", claims)
	}
	// The check finds what it is for.
	if _, found := threatViolations(string(text), nil); len(found) < claims {
		t.Errorf("without tests only %d violations are found of %d claims", len(found), claims)
	}
	for _, change := range [][2]string{
		{"Protected:\n", "Protected:\n\n- All.\n"},
		{"(`TestCiphertextsAreForPostQuantumRecipients`)", "(it says)"},
		{"`TestNoRecipientInFiles`", "`TestNothingOfTheKind`"},
		{"### A stolen key file", "### A borrowed key file"},
		{"Detected:\n", "Noticed:\n"},
	} {
		changed := strings.Replace(string(text), change[0], change[1], 1)
		if changed == string(text) {
			t.Errorf("%q stands nowhere", change[0])
		}
		if _, found := threatViolations(changed, names); len(found) == 0 {
			t.Errorf("%q in place of %q is not found", change[1], change[0])
		}
	}
}

var citedTest = regexp.MustCompile("`(Test\\w+)`")

// threatViolations reads the lists of the threat model's chapter. Lines of what
// is protected or detected must end with the names of tests.
func threatViolations(text string, tests map[string]bool) (claims int, violations []string) {
	add := func(format string, args ...any) { violations = append(violations, fmt.Sprintf(format, args...)) }
	_, chapter, found := strings.Cut(text, "\n## 13. ")
	chapter, _, ended := strings.Cut(chapter, "\n## 14. ")
	if !found || !ended {
		return 0, []string{"FORMAT.md has no chapter 13 before 14"}
	}
	sections := strings.Split(chapter, "\n### ")[1:]
	if len(sections) != len(adversaries) {
		add("%d adversaries, want %d", len(sections), len(adversaries))
	}
	for i, section := range sections {
		title, rest, _ := strings.Cut(section, "\n")
		if i >= len(adversaries) || title != adversaries[i] {
			add("adversary %d is %q", i, title)
		}
		list := ""
		for _, paragraph := range strings.Split(strings.TrimSpace(rest), "\n\n") {
			items := strings.Split("\n"+paragraph, "\n- ")[1:]
			if len(items) == 0 {
				list, _, _ = strings.Cut(paragraph, ":")
				continue
			}
			for _, item := range items {
				cited := citedTest.FindAllStringSubmatch(item, -1)
				switch list {
				case "Not covered":
					if len(cited) > 0 {
						add("%s: what is not covered names a test: %s", title, item)
					}
					continue
				case "Protected", "Detected":
				default:
					add("%s: a list under %q", title, list)
				}
				claims++
				if len(cited) == 0 || !strings.HasSuffix(item, "`)") {
					add("%s: a claim without a test: %s", title, item)
				}
				for _, match := range cited {
					if !tests[match[1]] {
						add("%s: there is no %s", title, match[1])
					}
				}
			}
		}
	}
	return claims, violations
}

// Everything that reads bytes of others is fuzzed, in each run of .ci/run, which
// runs all targets that it finds.
func TestEveryDecoderIsFuzzed(t *testing.T) {
	targets := namesOf(t, regexp.MustCompile(`(?m)^func (Fuzz\w+)\(f \*testing\.F\)`))
	for what, target := range decoders {
		if !targets[target] {
			t.Errorf("%s: there is no %s", what, target)
		}
	}
	run, err := os.ReadFile(filepath.Join(repositoryRoot, ".ci", "run"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"go test -list '^Fuzz'", "step 'fuzzing' fuzz\n"} {
		if !strings.Contains(string(run), line) {
			t.Errorf(".ci/run does not say %q", line)
		}
	}
}
