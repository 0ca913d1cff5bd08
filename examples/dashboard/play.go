package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// stage is a laptop and a phone on this machine, which share nothing but a
// folder. Each has its own database, keys, Syncer and page.
type stage struct {
	dir           string
	laptop, phone *server
}

func newStage(ctx context.Context) (_ *stage, err error) {
	dir, err := os.MkdirTemp("", "sqlitesync-dashboard-")
	if err != nil {
		return nil, err
	}
	s := &stage{dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		return nil, err
	}
	if s.laptop, err = s.add(ctx, "laptop", ""); err != nil {
		return nil, err
	}
	if err := fill(ctx, s.laptop.db, time.Now()); err != nil {
		return nil, err
	}
	if err := s.laptop.sync.Sync(ctx); err != nil {
		return nil, err
	}
	invite, err := s.laptop.sync.Invite(ctx, nil)
	if err != nil {
		return nil, err
	}
	s.phone, err = s.add(ctx, "phone", invite.Code)
	return s, err
}

func (s *stage) add(ctx context.Context, name, code string) (*server, error) {
	at := func(what string) string { return filepath.Join(s.dir, what) }
	d, err := openDevice(ctx, place{at(name + ".db"), at("folder"), at(name + "-keys"), name, code})
	if err != nil {
		return nil, err
	}
	page, err := listen(d, 0)
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	return page, nil
}

// serve answers on both pages until ctx is done.
func (s *stage) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var both sync.WaitGroup
	errs := make([]error, 2)
	for i, page := range []*server{s.laptop, s.phone} {
		both.Go(func() {
			errs[i] = page.serve(ctx)
			cancel()
		})
	}
	both.Wait()
	return errors.Join(errs...)
}

func (s *stage) close() error {
	var errs []error
	for _, page := range []*server{s.laptop, s.phone} {
		if page != nil {
			_ = page.listener.Close() // serve has closed it, if it ran
			errs = append(errs, page.close())
		}
	}
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}

// play shows both pages until ctx is done.
func play(ctx context.Context, out io.Writer, open func(string) error) (err error) {
	s, err := newStage(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	fmt.Fprintf(out, "A laptop and a phone, which share a folder. Write on one page and watch the other:\n\n    laptop  %s\n    phone   %s\n\nCtrl-C ends both and removes them. With -folder you get a dashboard of your own.\n",
		s.laptop.address(), s.phone.address())
	for _, page := range []*server{s.laptop, s.phone} {
		if open(page.address()) != nil {
			fmt.Fprintln(out, "\nOpen both in a browser.")
			break
		}
	}
	return s.serve(ctx)
}

// playOnce does without a browser what a person would see: it writes on one
// page, and waits until the other has it.
func playOnce(ctx context.Context, out io.Writer) (err error) {
	s, err := newStage(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- s.serve(ctx) }()
	defer func() {
		cancel()
		err = errors.Join(err, <-served)
	}()

	laptop, phone := newVisitor(s.laptop), newVisitor(s.phone)
	if _, err := laptop.see(ctx); err != nil {
		return err
	}
	if _, err := phone.see(ctx); err != nil {
		return err
	}
	news, err := phone.listen(ctx)
	if err != nil {
		return err
	}
	start, words := time.Now(), "Written on the laptop"
	fmt.Fprintf(out, "On the laptop's page a note is written: %q.\n", words)
	if err := laptop.write(ctx, "/notes", url.Values{"text": {words}}); err != nil {
		return err
	}
	for news.Scan() {
		if news.Text() != "event: rows" {
			continue
		}
		page, err := phone.see(ctx)
		if err != nil {
			return err
		}
		if strings.Contains(page, words) {
			fmt.Fprintf(out, "The phone's page shows it %v later.\n", time.Since(start).Round(time.Millisecond))
			return nil
		}
	}
	return errors.Join(errors.New("the phone's page heard of nothing"), news.Err())
}
