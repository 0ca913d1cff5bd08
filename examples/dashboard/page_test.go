package main

import (
	"context"
	"flag"
	"slices"
	"strings"
	"sync"
	"testing"
)

var pictures = flag.String("pictures", "", "a directory for pictures of the pages")

// staged serves a laptop's page and a phone's until stop is called or the test
// ends.
func staged(t *testing.T) (s *stage, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s, err := newStage(ctx)
	must(t, err)
	served := make(chan error, 1)
	go func() { served <- s.serve(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		must(t, <-served)
	})
	t.Cleanup(func() {
		stop()
		must(t, s.close())
	})
	return s, stop
}

// In a real browser: what is written on one page appears on the other by itself.
func TestTwoPages(t *testing.T) {
	browser := startBrowser(t)
	s, stop := staged(t)
	laptop, phone := browser.open(s.laptop.address()), browser.open(s.phone.address())
	if where := laptop.eval("location.search"); where != "" {
		t.Errorf("the address still shows its key: %q", where)
	}
	for _, tab := range []*tab{laptop, phone} {
		tab.until(`document.querySelectorAll(".members li").length === 2`)
	}

	// Somebody is writing on the phone.
	phone.eval(`document.getElementById("note").focus(); document.execCommand("insertText", false, "half a thou"); 0`)

	// A note that would be a script if it were not escaped.
	laptop.eval(`document.getElementById("note").value = "<img src=x onerror=document.title='owned'> & done"; document.querySelector("#notes button").click(); 0`)
	phone.until(`document.querySelector("#notes li p")?.textContent.includes("onerror=document.title='owned'> & done")`)
	phone.until(`document.getElementById("news").textContent === "Another device has written something."`)
	if title := phone.eval("document.title").(string); strings.Contains(title, "owned") {
		t.Error("a note ran as a script")
	}
	if text := phone.eval(`document.getElementById("note").value`); text != "half a thou" {
		t.Errorf("what somebody was writing is now %q", text)
	}
	if focused := phone.eval(`document.activeElement.id + " " + document.activeElement.selectionStart`); focused != "note 11" {
		t.Errorf("somebody was writing, and the caret is now at %q", focused)
	}

	// A day is ticked, with the keyboard, and the button stays where it is.
	today := phone.eval(`document.querySelector("tbody tr .today .tick").id`).(string)
	button := `document.getElementById("` + today + `")`
	before := phone.eval(button + `.getAttribute("aria-pressed")`)
	phone.eval(button + `.focus(); ` + button + `.click(); 0`)
	phone.until(button + `.getAttribute("aria-pressed") !== "` + before.(string) + `"`)
	if focused := phone.eval("document.activeElement.id"); focused != today {
		t.Errorf("the button that was pressed lost the focus to %q", focused)
	}
	laptop.until(button + `.getAttribute("aria-pressed") !== "` + before.(string) + `"`)

	// A number.
	laptop.eval(`document.getElementById("number-mood").value = "5"; document.querySelector("#numbers form > button").click(); 0`)
	phone.until(`document.getElementById("number-mood").defaultValue === "5"`)

	// A new device.
	laptop.eval(`document.querySelector("#sync form button").click(); 0`)
	laptop.until(`/-join [0-9A-Z-]{41}/.test(document.getElementById("sync").textContent)`)

	for name, scheme := range map[string]string{"light": "light", "dark": "dark"} {
		laptop.emulate(1100, map[string]string{"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"})
		phone.emulate(420, map[string]string{"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"})
		laptop.picture(*pictures, "laptop-"+name)
		phone.picture(*pictures, "phone-"+name)
	}
	for name, tab := range map[string]*tab{"laptop": laptop, "phone": phone} {
		if wide := tab.eval("document.documentElement.scrollWidth > innerWidth"); wide != false {
			t.Errorf("the page of the %s is wider than its window", name)
		}
		if nameless := tab.nameless(); len(nameless) > 0 {
			t.Errorf("a screen reader has no name for %v", nameless)
		}
	}

	// The program ends, and what somebody was writing is still there.
	stop()
	phone.until(`document.getElementById("news").textContent.startsWith("The program behind this page does not answer.")`)
	if text := phone.eval(`document.getElementById("note").value`); text != "half a thou" {
		t.Errorf("what somebody was writing is now %q", text)
	}
}

// nameless returns what can be used on the page but has no name for those who
// can't see it.
func (tab *tab) nameless() (roles []string) {
	type value struct{ Value any }
	var tree struct {
		Nodes []struct {
			Ignored    bool
			Role, Name value
			Properties []struct {
				Name  string
				Value value
			}
		}
	}
	tab.call(tab.session, "Accessibility.getFullAXTree", map[string]any{}, &tree)
	uses := 0
	for _, node := range tree.Nodes {
		role, _ := node.Role.Value.(string)
		if node.Ignored || !slices.Contains([]string{"button", "textbox", "spinbutton", "image", "table"}, role) {
			continue
		}
		uses++
		if name, _ := node.Name.Value.(string); name == "" {
			roles = append(roles, role)
		}
	}
	if uses < 20 {
		tab.t.Errorf("the page has %d things to use, which can't be all", uses)
	}
	return roles
}
