package main

import (
	"fmt"
	"image/color"
	"strings"

	"github.com/boombuler/barcode/qr"
)

// quietZone is how many light modules ISO/IEC 18004 wants around a QR code.
const quietZone = 4

// printCode prints a code alone on its line, and on a terminal its picture.
func (a *app) printCode(code string) error {
	if a.outTerminal {
		picture, err := a.drawQR(code)
		if err != nil {
			return err
		}
		fmt.Fprintln(a.out, picture)
	}
	a.printf("%s\n", code)
	return nil
}

// drawQR returns a QR code of text as half blocks: two modules, one above the
// other, to a character. With colours it is black on white whatever the terminal
// has; without, the blocks are the light modules, for terminals with a dark
// background.
func (a *app) drawQR(text string) (string, error) {
	code, err := qr.Encode(text, qr.M, qr.AlphaNumeric)
	if err != nil {
		return "", err
	}
	size := code.Bounds().Dx()
	dark := func(x, y int) bool {
		inside := 0 <= x && x < size && 0 <= y && y < size
		return inside && code.At(x, y) == color.Black
	}
	// By whether the upper and the lower module are drawn.
	blocks := map[[2]bool]string{{false, false}: " ", {true, false}: "▀", {false, true}: "▄", {true, true}: "█"}
	var picture strings.Builder
	for y := -quietZone; y < size+quietZone; y += 2 {
		var line strings.Builder
		for x := -quietZone; x < size+quietZone; x++ {
			line.WriteString(blocks[[2]bool{dark(x, y) == a.colours, dark(x, y+1) == a.colours}])
		}
		picture.WriteString(a.paint("30;107", line.String()) + "\n")
	}
	return picture.String(), nil
}
