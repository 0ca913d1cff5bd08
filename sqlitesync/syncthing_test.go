package sqlitesync

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The tests in this file let a real Syncthing carry the folder: one daemon per device, each with a copy of the folder of its
// own, on the loopback interface. They are skipped where the program is not installed.

// syncthingLong is given by .ci/run.
var syncthingLong = flag.Bool("syncthing.long", false, "run TestSyncthingWithThreeDaemons too, which can take minutes")

// A daemon is a Syncthing that carries one copy of the folder.
type daemon struct {
	tb      testing.TB
	program string
	home    string // its configuration, keys and index
	folder  string
	device  string // its own id
	control string // host and port of its REST interface
	listen  string // host and port for the other daemons
	cmd     *exec.Cmd
	said    *bytes.Buffer
}

const syncthingKey = "only-for-tests" // of the REST interfaces

// newDaemons starts n daemons that share a folder.
func newDaemons(tb testing.TB, n int) []*daemon {
	tb.Helper()
	program, err := exec.LookPath("syncthing")
	if err != nil {
		tb.Skip("syncthing is not installed")
	}
	addresses := freeAddresses(tb, 2*n)
	var daemons []*daemon
	for i := range n {
		d := &daemon{tb: tb, program: program, home: tb.TempDir(), folder: tb.TempDir(), control: addresses[2*i], listen: addresses[2*i+1]}
		must(tb, os.Mkdir(filepath.Join(d.folder, ".stfolder"), 0o700))
		d.makeKeys()
		daemons = append(daemons, d)
	}
	for _, d := range daemons {
		d.configure(daemons)
		d.start()
	}
	for _, d := range daemons {
		d.waitForPeers(n - 1)
	}
	return daemons
}

// freeAddresses returns addresses on the loopback interface that nobody listens to.
func freeAddresses(tb testing.TB, n int) []string {
	tb.Helper()
	var addresses []string
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		must(tb, err)
		defer listener.Close() // at the end, so that none is given twice
		addresses = append(addresses, listener.Addr().String())
	}
	return addresses
}

func (d *daemon) command(arguments ...string) *exec.Cmd {
	cmd := exec.Command(d.program, arguments...)
	cmd.Env = append(os.Environ(), "HOME="+d.home, "STNODEFAULTFOLDER=1", "STNOUPGRADE=1",
		"STMONITORED=1") // one process, which ends when it is told to
	return cmd
}

func (d *daemon) makeKeys() {
	d.tb.Helper()
	if output, err := d.command("generate", "--home="+d.home).CombinedOutput(); err != nil {
		d.tb.Fatalf("syncthing generate: %v: %s", err, output)
	}
	data, err := os.ReadFile(d.configuration())
	must(d.tb, err)
	var made struct {
		Device struct {
			ID string `xml:"id,attr"`
		} `xml:"device"`
	}
	must(d.tb, xml.Unmarshal(data, &made))
	d.device = made.Device.ID
}

func (d *daemon) configuration() string { return filepath.Join(d.home, "config.xml") }

// configure writes a configuration with which the daemon talks to the others and to nobody else. What it does not name is
// as Syncthing has it.
func (d *daemon) configure(all []*daemon) {
	d.tb.Helper()
	var members, devices strings.Builder
	for _, other := range all {
		fmt.Fprintf(&members, `<device id="%s"></device>`, other.device)
		fmt.Fprintf(&devices, `<device id="%s" name="%s"><address>tcp://%s</address></device>`, other.device, other.listen, other.listen)
	}
	text := fmt.Sprintf(`<configuration version="36">
		<folder id="space" path="%s" type="sendreceive" rescanIntervalS="3600" fsWatcherEnabled="true" fsWatcherDelayS="1">%s
			<minDiskFree unit="%%">0</minDiskFree>
		</folder>
		%s
		<gui enabled="true" tls="false"><address>%s</address><apikey>%s</apikey></gui>
		<options>
			<listenAddress>tcp://%s</listenAddress>
			<globalAnnounceEnabled>false</globalAnnounceEnabled>
			<localAnnounceEnabled>false</localAnnounceEnabled>
			<relaysEnabled>false</relaysEnabled>
			<natEnabled>false</natEnabled>
			<urAccepted>-1</urAccepted>
			<crashReportingEnabled>false</crashReportingEnabled>
			<autoUpgradeIntervalH>0</autoUpgradeIntervalH>
			<startBrowser>false</startBrowser>
			<setLowPriority>false</setLowPriority>
			<reconnectionIntervalS>1</reconnectionIntervalS>
			<minHomeDiskFree unit="%%">0</minHomeDiskFree>
		</options>
	</configuration>`, d.folder, members.String(), devices.String(), d.control, syncthingKey, d.listen)
	must(d.tb, os.WriteFile(d.configuration(), []byte(text), 0o600))
}

func (d *daemon) start() {
	d.tb.Helper()
	d.said = new(bytes.Buffer)
	d.cmd = d.command("serve", "--home="+d.home, "--no-browser")
	d.cmd.Stdout, d.cmd.Stderr = d.said, d.said
	must(d.tb, d.cmd.Start())
	cmd := d.cmd
	d.tb.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	d.until("it answers", func() bool {
		_, err := d.ask(http.MethodGet, "system/ping", nil)
		return err == nil
	})
}

// stop ends the daemon.
func (d *daemon) stop() {
	d.tb.Helper()
	d.call("system/shutdown", nil)
	_ = d.cmd.Wait() // the exit code says which request ended it
}

// call asks the daemon to do something.
func (d *daemon) call(what string, arguments url.Values) {
	d.tb.Helper()
	if _, err := d.ask(http.MethodPost, what, arguments); err != nil {
		d.tb.Fatal(err)
	}
}

func (d *daemon) ask(method, what string, arguments url.Values) ([]byte, error) {
	request, err := http.NewRequest(method, "http://"+d.control+"/rest/"+what+"?"+arguments.Encode(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("X-Api-Key", syncthingKey)
	return d.do(request)
}

func (d *daemon) do(request *http.Request) ([]byte, error) {
	client := http.Client{Timeout: 30 * time.Second}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", request.URL.Path, response.Status, text)
	}
	return text, err
}

// setType makes the daemon's folder one that only sends, only receives, or does both.
func (d *daemon) setType(kind string) {
	d.tb.Helper()
	request, err := http.NewRequest(http.MethodPatch, "http://"+d.control+"/rest/config/folders/space", strings.NewReader(`{"type":"`+kind+`"}`))
	must(d.tb, err)
	request.Header.Set("X-Api-Key", syncthingKey)
	_, err = d.do(request)
	must(d.tb, err)
	d.call("db/scan", url.Values{"folder": {"space"}}) // returns when the folder runs again, and was scanned
}

// waitForPeers waits until the daemon is connected to n others.
func (d *daemon) waitForPeers(n int) {
	d.tb.Helper()
	d.until(fmt.Sprintf("it is connected to %d others", n), func() bool {
		text, err := d.ask(http.MethodGet, "system/connections", nil)
		var answer struct {
			Connections map[string]struct{ Connected bool }
		}
		if err != nil || json.Unmarshal(text, &answer) != nil {
			return false
		}
		connected := 0
		for _, connection := range answer.Connections {
			if connection.Connected {
				connected++
			}
		}
		return connected == n
	})
}

func (d *daemon) until(what string, condition func() bool) {
	d.tb.Helper()
	for deadline := time.Now().Add(courierTime); !condition(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			_ = d.cmd.Process.Kill() // so that nobody writes to what is read now
			_ = d.cmd.Wait()
			d.tb.Fatalf("a Syncthing does not get as far as that %s:\n%.5000s", what, d.said)
		}
	}
}

// courierTime is how long a test waits for what goes through another program.
const courierTime = 3 * time.Minute

// carried is a space whose devices work in the background, each over the copy of the folder that a daemon carries.
type carried struct {
	t       *testing.T
	daemons []*daemon
	devices []*testDevice
	ahead   atomic.Int64      // how far the devices' clocks are ahead
	want    map[string]string // the rows that there must be at the end, by id
	said    map[string]bool   // which problems devices have told of
}

func newCarried(t *testing.T, n int) *carried {
	t.Helper()
	s := &carried{t: t, daemons: newDaemons(t, n), want: make(map[string]string), said: make(map[string]bool)}
	for i, courier := range s.daemons {
		d := newTestDevice(t, itemSchema)
		d.options.Manual, d.options.FlushDelay, d.options.PollInterval = false, 20*time.Millisecond, time.Second
		d.options.DeviceName = fmt.Sprint("device ", i)
		d.environment.Wall = func() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) }
		if i == 0 {
			d.create(courier.folder)
		} else {
			s.join(d, courier)
		}
		s.devices = append(s.devices, d)
	}
	return s
}

// join lets a device enter as soon as the folder has come so far.
func (s *carried) join(d *testDevice, courier *daemon) {
	s.t.Helper()
	code := s.devices[0].invite()
	d.folder = courier.folder
	var err error
	for deadline := time.Now().Add(courierTime); ; time.Sleep(100 * time.Millisecond) {
		if d.syncer, err = Join(s.t.Context(), d.db, d.folder, code, &d.options); err == nil {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatal(err)
		}
	}
}

// write lets all devices write at once: rows of their own, which they edit and delete, and one that all edit.
func (s *carried) write(round string, rows int) {
	s.t.Helper()
	var writers sync.WaitGroup
	for i, d := range s.devices {
		writers.Go(func() {
			for k := range rows {
				id := fmt.Sprintf("%s-%d-%d", round, i, k)
				for _, statement := range []string{
					"INSERT INTO item VALUES (?1, 'new', 1)",
					"UPDATE item SET name = 'edited' WHERE id = ?1",
					"INSERT INTO item VALUES ('shared', ?1, 1) ON CONFLICT DO UPDATE SET name = excluded.name",
					"INSERT INTO item VALUES ('not ' || ?1, 'in vain', 1)",
					"DELETE FROM item WHERE id = 'not ' || ?1",
				} {
					if _, err := d.db.Exec(statement, id); err != nil {
						s.t.Errorf("device %d: %v", i, err)
					}
				}
			}
		})
		for k := range rows {
			s.want[fmt.Sprintf("%s-%d-%d", round, i, k)] = "edited"
		}
	}
	writers.Wait()
}

// equal waits until all devices show the same, and all of it.
func (s *carried) equal(what string) {
	s.t.Helper()
	for deadline := time.Now().Add(courierTime); ; time.Sleep(50 * time.Millisecond) {
		reason := s.unequal()
		if reason == "" {
			s.t.Logf("equal %s", what)
			return
		}
		if time.Now().After(deadline) {
			for i, d := range s.devices {
				s.t.Logf("device %d: %+v", i, d.syncer.Status())
			}
			s.t.Fatalf("%s the devices do not come to be equal: %s", what, reason)
		}
	}
}

// unequal says what differs, or "".
func (s *carried) unequal() string {
	first := s.shown(s.devices[0])
	for i, d := range s.devices {
		shown := s.shown(d)
		if !maps.Equal(first, shown) {
			return fmt.Sprintf("device %d has %d rows, device 0 %d", i, len(shown), len(first))
		}
	}
	if _, there := first["shared"]; !there && len(s.want) > 0 {
		return "the row that all write is gone"
	}
	delete(first, "shared")
	if !maps.Equal(first, s.want) {
		return fmt.Sprintf("%d rows, want %d", len(first), len(s.want))
	}
	return ""
}

func (s *carried) shown(d *testDevice) map[string]string {
	s.t.Helper()
	rows, err := d.db.Query("SELECT id, name FROM item")
	must(s.t, err)
	defer rows.Close()
	shown := make(map[string]string)
	for rows.Next() {
		var id, name string
		must(s.t, rows.Scan(&id, &name))
		shown[id] = name
	}
	must(s.t, rows.Err())
	return shown
}

// away moves the devices' clocks on, so that they wait no longer for what is gone from the folder.
func (s *carried) away(d time.Duration) { s.ahead.Add(int64(d)) }

// refilled lets time go by until the devices have made again what vanished from their folders, and are content.
func (s *carried) refilled() {
	s.t.Helper()
	for deadline := time.Now().Add(courierTime); ; time.Sleep(200 * time.Millisecond) {
		content := true
		for _, d := range s.devices {
			status := d.syncer.Status()
			for _, err := range status.Problems {
				s.said[plainText(err)] = true
			}
			content = content && status.State == StateIdle && len(status.Waiting) == 0
		}
		if content {
			return
		}
		s.away(vanishedTime)
		for _, d := range s.devices {
			_ = d.syncer.Sync(s.t.Context()) // what is wrong stands in the status
		}
		if time.Now().After(deadline) {
			for i, d := range s.devices {
				s.t.Logf("device %d: %+v", i, d.syncer.Status())
			}
			s.t.Fatal("the devices are not content")
		}
	}
}

// close ends the devices and the daemons.
func (s *carried) close() {
	s.t.Helper()
	for _, d := range s.devices {
		d.close()
		d.wantValue("ok", "PRAGMA integrity_check")
	}
	for _, courier := range s.daemons {
		courier.stop()
	}
}

// One daemon is paused and goes on, then restarted, while both sides write.
func TestSyncthingCarriesASpace(t *testing.T) {
	t.Parallel()
	s := newCarried(t, 2)
	s.write("first", 10)
	s.equal("at first")

	s.daemons[1].call("system/pause", nil)
	s.daemons[0].waitForPeers(0)
	s.write("paused", 10)
	s.daemons[1].call("system/resume", nil)
	s.equal("after a pause")

	s.daemons[1].stop()
	s.write("stopped", 10)
	s.daemons[1].start()
	s.equal("after a restart")
	s.close()
}

// Three daemons; on one of them the folder is put back to an older state, as from a backup, which takes newer files from
// all copies; one overrides what the others have, one reverts what its device has written.
func TestSyncthingWithThreeDaemons(t *testing.T) {
	if !*syncthingLong {
		t.Skip("it takes minutes: run it with -syncthing.long")
	}
	t.Parallel()
	s := newCarried(t, 3)
	s.write("first", 20)
	s.equal("at first")
	backup := t.TempDir()
	s.daemons[2].stop()
	s.devices[2].close()
	copyTree(t, s.daemons[2].folder, backup)
	s.devices[2].open()
	s.daemons[2].start()
	s.write("second", 20)
	s.equal("after a restart")

	s.daemons[2].stop()
	s.devices[2].close()
	copyTree(t, backup, s.daemons[2].folder)
	s.daemons[2].start()
	s.devices[2].open()
	s.write("reverted", 20)
	s.refilled()
	s.equal("after a folder was put back")

	s.daemons[0].setType("sendonly")
	s.write("override", 20)
	s.daemons[1].until("what the others wrote has come", func() bool {
		return s.devices[1].value("SELECT count(*) >= 40 FROM item WHERE id LIKE 'override-%'") == "1"
	})
	s.daemons[0].call("db/override", url.Values{"folder": {"space"}})
	s.daemons[0].setType("sendreceive")
	s.refilled()
	s.equal("after an override")

	s.daemons[1].setType("receiveonly")
	s.write("revert", 20)
	s.daemons[1].call("db/scan", url.Values{"folder": {"space"}})
	s.daemons[1].call("db/revert", url.Values{"folder": {"space"}})
	s.daemons[1].setType("sendreceive")
	s.refilled()
	s.equal("after a revert")

	s.refilled()
	said := strings.Join(slices.Sorted(maps.Keys(s.said)), "\n")
	t.Logf("the devices said:\n%s", said)
	if !strings.Contains(said, "are gone") { // that heads are older is seen only if one is looked at in time: once a minute
		t.Error("no device missed a segment: what the test is for did not happen")
	}
	late := newTestDevice(t, itemSchema)
	late.crowded = true
	late.join(s.daemons[0].folder, s.devices[0].invite())
	for deadline := time.Now().Add(courierTime); late.dump() != s.devices[0].dump() && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		_ = late.trySync() // what was made again for others, who need it no more, can be on its way still
	}
	wantSame(t, []*testDevice{s.devices[0], late})
	s.close()
}

// rclone bisync, run now and then, is a slow courier that knows nothing of atomicity: it compares sizes and times.
func TestRcloneCarriesASpace(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("rclone")
	if err != nil {
		t.Skip("rclone is not installed")
	}
	here, there, state := t.TempDir(), t.TempDir(), t.TempDir()
	bisync := func(arguments ...string) {
		t.Helper()
		cmd := exec.Command(program, append([]string{"bisync", here, there, "--config=" + filepath.Join(state, "rclone.conf"),
			"--workdir=" + filepath.Join(state, "bisync"), "--cache-dir=" + filepath.Join(state, "cache")}, arguments...)...)
		if output, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("rclone: %v: %s", err, output)
		}
	}
	a, b := newTestDevice(t, itemSchema), newTestDevice(t, itemSchema)
	a.create(here)
	code := a.invite()
	a.sync()
	bisync("--resync")
	b.join(there, code)
	for round := range 5 {
		for i, d := range []*testDevice{a, b} {
			d.exec("INSERT INTO item VALUES (?, 'new', 1)", fmt.Sprint(i, "-", round))
			d.exec("INSERT INTO item VALUES ('shared', ?, 1) ON CONFLICT DO UPDATE SET name = excluded.name", fmt.Sprint("of ", i))
			d.sync()
		}
		bisync()
		a.sync() // and writes a head while b still has to
		bisync()
		b.sync()
	}
	bisync()
	settle(a, b)
	bisync()
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	wantEverywhere("11", "SELECT count(*) FROM item", a, b)
	for _, d := range []*testDevice{a, b} {
		d.wantHealthy()
	}
}
