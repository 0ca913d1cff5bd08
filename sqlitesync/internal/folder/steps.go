package folder

import (
	"io/fs"
	"os"
	"path"
)

// Interpose puts a function between this Folder and the operating system, which it calls for each step that opens,
// writes or changes something, with the verb and the last part of the name, such as "link head". perform takes the
// step. The function may leave it out, or take it and fail all the same: that is how tests fail single steps.
func (f *Folder) Interpose(between func(step string, perform func() error) error) {
	f.disk = stepDisk{disk: f.disk, step: between}
}

// stepDisk is a disk that asks before each step.
type stepDisk struct {
	disk
	step func(step string, perform func() error) error
}

// stepName leaves out what differs from run to run.
func stepName(verb, name string) string {
	if isTemporary(path.Base(name)) {
		return verb + " temporary"
	}
	return verb + " " + path.Base(name)
}

func (d stepDisk) OpenFile(name string, flag int, perm fs.FileMode) (file, error) {
	verb := "open"
	if flag&os.O_CREATE != 0 {
		verb = "create"
	}
	var opened file
	err := d.step(stepName(verb, name), func() (err error) {
		opened, err = d.disk.OpenFile(name, flag, perm)
		return err
	})
	if err != nil {
		if opened != nil {
			_ = opened.Close() // the step has failed
		}
		return nil, err
	}
	return stepFile{file: opened, step: d.step, name: name}, nil
}

func (d stepDisk) Mkdir(name string, perm fs.FileMode) error {
	return d.step(stepName("mkdir", name), func() error { return d.disk.Mkdir(name, perm) })
}

func (d stepDisk) Link(oldname, newname string) error {
	return d.step(stepName("link", newname), func() error { return d.disk.Link(oldname, newname) })
}

func (d stepDisk) Rename(oldname, newname string) error {
	return d.step(stepName("rename", newname), func() error { return d.disk.Rename(oldname, newname) })
}

func (d stepDisk) Remove(name string) error {
	return d.step(stepName("remove", name), func() error { return d.disk.Remove(name) })
}

// stepFile is a file that asks before each step.
type stepFile struct {
	file
	step func(step string, perform func() error) error
	name string
}

func (f stepFile) Write(data []byte) (n int, err error) {
	err = f.step(stepName("write", f.name), func() error {
		n, err = f.file.Write(data)
		return err
	})
	return n, err
}

func (f stepFile) Sync() error { return f.step(stepName("sync", f.name), f.file.Sync) }

// Close gives the descriptor back whatever becomes of the step.
func (f stepFile) Close() error {
	closed := false
	err := f.step(stepName("close", f.name), func() error {
		closed = true
		return f.file.Close()
	})
	if !closed {
		_ = f.file.Close() // the step has failed
	}
	return err
}
