package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing wrong in a file, or suspicious when it is one of File.Warnings.
type Problem struct {
	// File is the name as given to Load or Parse.
	File string
	// Line counts from 1. What is missing from the whole file is reported on line 1.
	Line int
	// Message says what is wrong.
	Message string
	// Suggestion says what to write instead; it may be empty.
	Suggestion string
}

// Error gives "file:line: message: suggestion".
func (p Problem) Error() string {
	text := fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Message)
	if p.Suggestion != "" {
		text += ": " + p.Suggestion
	}
	return text
}

// Errors is all that is wrong in a file, in the order of its lines.
type Errors []Problem

// Error gives one line for each problem.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, p := range e {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// sorted brings problems into the order of the file; those of one line keep the order in which they were found.
func sorted(problems []Problem) []Problem {
	slices.SortStableFunc(problems, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	return problems
}
