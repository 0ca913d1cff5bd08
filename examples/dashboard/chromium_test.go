package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// A browser is a headless Chromium, spoken to in the DevTools protocol over two
// pipes: a request for each answer, one at a time.
type browser struct {
	t       *testing.T
	write   *os.File
	answers *bufio.Reader
	id      int
}

// startBrowser skips the test where there is no Chromium.
func startBrowser(t *testing.T) *browser {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("Go can't hand pipes to another program on Windows")
	}
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("there is no Chromium here")
	}
	theirRead, write, err := os.Pipe()
	must(t, err)
	read, theirWrite, err := os.Pipe()
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	command := exec.CommandContext(ctx, path, "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--no-first-run", "--disable-extensions", "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
		"--user-data-dir="+filepath.Join(t.TempDir(), "profile"))
	command.Env = append(os.Environ(), "HOME="+t.TempDir()) // which it writes to, whatever the profile
	command.ExtraFiles = []*os.File{theirRead, theirWrite}
	must(t, command.Start())
	theirRead.Close()
	theirWrite.Close()
	t.Cleanup(func() {
		// Killed, it would leave children that go on writing.
		defer time.AfterFunc(10*time.Second, cancel).Stop()
		_, _ = write.WriteString(`{"id": 0, "method": "Browser.close"}` + "\x00")
		_ = command.Wait()
		write.Close()
		read.Close()
	})
	return &browser{t: t, write: write, answers: bufio.NewReader(read)}
}

// call sends a request, to the browser itself or to one of its tabs, and reads
// up to the answer. Events that come meanwhile are left out.
func (b *browser) call(session, method string, parameters, result any) {
	b.t.Helper()
	b.id++
	request, err := json.Marshal(struct {
		ID        int    `json:"id"`
		SessionID string `json:"sessionId,omitempty"`
		Method    string `json:"method"`
		Params    any    `json:"params"`
	}{b.id, session, method, parameters})
	must(b.t, err)
	_, err = b.write.Write(append(request, 0))
	must(b.t, err)
	for {
		text, err := b.answers.ReadBytes(0)
		must(b.t, err)
		var answer struct {
			ID     int
			Result json.RawMessage
			Error  *struct{ Message string }
		}
		must(b.t, json.Unmarshal(text[:len(text)-1], &answer))
		if answer.ID != b.id {
			continue
		}
		if answer.Error != nil {
			b.t.Fatalf("%s: %s", method, answer.Error.Message)
		}
		if result != nil {
			must(b.t, json.Unmarshal(answer.Result, result))
		}
		return
	}
}

// A tab shows a page.
type tab struct {
	*browser
	session string
}

func (b *browser) open(address string) *tab {
	b.t.Helper()
	var target struct{ TargetID string }
	b.call("", "Target.createTarget", map[string]any{"url": "about:blank", "newWindow": true, "width": 1100, "height": 1150}, &target)
	var attached struct{ SessionID string }
	b.call("", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	tab := &tab{b, attached.SessionID}
	tab.call(tab.session, "Page.navigate", map[string]any{"url": address}, nil)
	tab.eval(`new Promise(done => { const look = () => document.readyState === "complete" && location.host ? done() : setTimeout(look, 10); look(); })`)
	return tab
}

// eval returns what an expression says, or what it promises.
func (tab *tab) eval(expression string) any {
	tab.t.Helper()
	var answer struct {
		Result           struct{ Value any }
		ExceptionDetails *struct {
			Text      string
			Exception struct{ Description string }
		}
	}
	tab.call(tab.session, "Runtime.evaluate", map[string]any{"expression": expression, "awaitPromise": true, "returnByValue": true}, &answer)
	if details := answer.ExceptionDetails; details != nil {
		tab.t.Fatalf("%s: %s %s", expression, details.Text, details.Exception.Description)
	}
	return answer.Result.Value
}

// until waits until an expression holds, looking whenever the page changes.
func (tab *tab) until(expression string) {
	tab.t.Helper()
	tab.eval(fmt.Sprintf(`new Promise((done, fail) => {
		const look = () => { if (%s) { watch.disconnect(); done(true); } };
		const watch = new MutationObserver(look);
		watch.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
		setTimeout(() => fail(new Error("it does not come to that; the page says: " + document.body.innerText)), 20000);
		look();
	})`, expression))
}

// emulate says how the person likes the page: {"prefers-color-scheme": "dark"}.
func (tab *tab) emulate(width int, features map[string]string) {
	tab.t.Helper()
	list := []map[string]string{}
	for name, value := range features {
		list = append(list, map[string]string{"name": name, "value": value})
	}
	tab.call(tab.session, "Emulation.setEmulatedMedia", map[string]any{"features": list}, nil)
	tab.call(tab.session, "Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 1150, "deviceScaleFactor": 1, "mobile": false}, nil)
}

// picture writes what the tab shows into a file, if a directory is given.
func (tab *tab) picture(dir, name string) {
	tab.t.Helper()
	if dir == "" {
		return
	}
	var answer struct{ Data string }
	tab.call(tab.session, "Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": true}, &answer)
	data, err := base64.StdEncoding.DecodeString(answer.Data)
	must(tab.t, errors.Join(err, os.WriteFile(filepath.Join(dir, name+".png"), data, 0o600)))
}
