package folder

import "slices"

// Records returns the hashes of the membership records, sorted, those in copies of their directory, too. Other names are
// left out.
func (f *Folder) Records() ([]string, error) {
	names, copied, err := f.namesAnywhere(rosterDirectory)
	if err != nil {
		return nil, f.failure("list records", err)
	}
	hashes := slices.DeleteFunc(append(names, copied...), func(name string) bool { return !isHex(name, recordLength) })
	slices.Sort(hashes)
	return slices.Compact(hashes), nil
}

// ReadRecord returns the membership record of that name, of at most limit bytes. Whether it has that hash is for the
// caller to see.
func (f *Folder) ReadRecord(hash string, limit int64) ([]byte, error) {
	file, err := recordPath(hash)
	if err != nil {
		return nil, f.failure("read a record", err)
	}
	data, err := f.readAnywhere(file, limit)
	return data, f.failure("read a record", err)
}

// RecordSize is for records what SegmentSize is for segments.
func (f *Folder) RecordSize(hash string) (int64, error) {
	file, err := recordPath(hash)
	var size int64
	if err == nil {
		size, err = anywhere(f, file, f.size)
	}
	return size, f.failure("look at a record", err)
}

// ReadInvite returns the invite of that id, of at most limit bytes.
func (f *Folder) ReadInvite(id string, limit int64) ([]byte, error) {
	file, err := invitePath(id)
	if err != nil {
		return nil, f.failure("read an invite", err)
	}
	data, err := f.readAnywhere(file, limit)
	return data, f.failure("read an invite", err)
}
