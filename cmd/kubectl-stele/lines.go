package main

import "strings"

// maxLines is how long texts may be to be compared line by line; the work grows with the square.
const maxLines = 2000

// compareLines writes what differs between two texts: lines with "-" and "+" before them, and with two lines around them that are alike. It is
// nil where the texts are too long.
func compareLines(a, b string) []string {
	if strings.HasSuffix(a, "\n") && strings.HasSuffix(b, "\n") {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	start := 0
	for start < len(x) && start < len(y) && x[start] == y[start] {
		start++
	}
	endX, endY := len(x), len(y)
	for endX > start && endY > start && x[endX-1] == y[endY-1] {
		endX, endY = endX-1, endY-1
	}
	if endX-start > maxLines || endY-start > maxLines {
		return nil
	}
	const around = 2
	var out []string
	for i := max(0, start-around); i < start; i++ {
		out = append(out, "  "+x[i])
	}
	out = append(out, differing(x[start:endX], y[start:endY])...)
	for i := endX; i < min(len(x), endX+around); i++ {
		out = append(out, "  "+x[i])
	}
	return out
}

// differing is the shortest way from one list of lines to another: by the longest common subsequence.
func differing(x, y []string) []string {
	longest := make([][]int, len(x)+1)
	for i := range longest {
		longest[i] = make([]int, len(y)+1)
	}
	for i := len(x) - 1; i >= 0; i-- {
		for j := len(y) - 1; j >= 0; j-- {
			if x[i] == y[j] {
				longest[i][j] = longest[i+1][j+1] + 1
			} else {
				longest[i][j] = max(longest[i+1][j], longest[i][j+1])
			}
		}
	}
	var out []string
	i, j := 0, 0
	for i < len(x) || j < len(y) {
		switch {
		case i < len(x) && j < len(y) && x[i] == y[j]:
			out = append(out, "  "+x[i])
			i, j = i+1, j+1
		case j == len(y) || i < len(x) && longest[i+1][j] >= longest[i][j+1]:
			out = append(out, "- "+x[i])
			i++
		default:
			out = append(out, "+ "+y[j])
			j++
		}
	}
	return out
}
