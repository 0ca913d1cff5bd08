package folder

import "os"

// mayWrite only looks whether the directory is there: Windows tells who may write when something is written.
func mayWrite(directory string) error {
	_, err := os.Stat(directory)
	return err
}
