package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
)

// visitor is a person with a page, without a browser.
type visitor struct {
	page   *server
	client *http.Client
}

func newVisitor(page *server) *visitor {
	jar, err := cookiejar.New(nil)
	if err != nil {
		panic(err) // it has no reason to
	}
	return &visitor{page, &http.Client{Jar: jar}}
}

func (v *visitor) do(ctx context.Context, method, address string, form url.Values) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := v.client.Do(request)
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.Join(fmt.Errorf("%s %s: %s", method, request.URL.Path, response.Status), response.Body.Close())
	}
	return response, err
}

// see returns the page as it is now.
func (v *visitor) see(ctx context.Context) (string, error) {
	response, err := v.do(ctx, http.MethodGet, v.page.address(), nil)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return string(text), err
}

func (v *visitor) write(ctx context.Context, path string, form url.Values) error {
	response, err := v.do(ctx, http.MethodPost, "http://"+v.page.hosts[0]+path, form)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// listen opens the page's stream of events, and returns its lines.
func (v *visitor) listen(ctx context.Context) (*bufio.Scanner, error) {
	response, err := v.do(ctx, http.MethodGet, "http://"+v.page.hosts[0]+"/events", nil)
	if err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(response.Body)
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), ":") {
		return nil, fmt.Errorf("the stream of events begins with %q", lines.Text())
	}
	return lines, nil
}
