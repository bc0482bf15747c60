// Package spelling guesses which word a person meant.
package spelling

import "strings"

// longest bounds the words compared: names are short, and the cost grows with the product of two lengths.
const longest = 64

// Nearest returns the candidate that word most probably stands for, or "" when none is near enough. Case,
// hyphens and underscores do not count; else up to one letter in three may be missing, added, wrong or
// swapped with its neighbour; a word that goes on after the other's end is near too. Of equally near candidates the first wins.
func Nearest(word string, candidates []string) string {
	best, least := "", len(word)/3+1
	if len(word) < 3 {
		least = 1 // so short a word is near to everything of its length
	}
	for _, c := range candidates {
		d := distance(fold(word), fold(c))
		if continues(fold(word), fold(c)) {
			d = min(d, len(word)/3)
		}
		if d < least {
			best, least = c, d
		}
	}
	return best
}

// continues tells whether one word is the beginning of the other, as warn is of warning.
func continues(a, b string) bool {
	const tooShort = 3 // letters that too many words begin with
	return min(len(a), len(b)) >= tooShort && (strings.HasPrefix(a, b) || strings.HasPrefix(b, a))
}

// fold removes what people get wrong most often without noticing.
func fold(s string) string {
	return strings.NewReplacer("_", "", "-", "", " ", "").Replace(strings.ToLower(s))
}

// distance counts the edits between two words: insert, delete, replace, or swap two neighbours (optimal
// string alignment).
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	if len(x) > longest || len(y) > longest {
		if a == b {
			return 0
		}
		return max(len(x), len(y))
	}
	before, last := make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(x); i++ {
		now := make([]int, len(y)+1)
		now[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			now[j] = min(last[j]+1, now[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				now[j] = min(now[j], before[j-2]+1)
			}
		}
		before, last = last, now
	}
	return last[len(y)]
}
