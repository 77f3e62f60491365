package config

// nearest finds the known word that a misspelt one was most likely meant to
// be, or nothing when none is near.
func nearest(word string, known []string) string {
	best, limit := "", max(1, len(word)/3)
	for _, k := range known {
		if n := distance(word, k, limit); n <= limit && n > 0 {
			best, limit = k, n-1
		}
	}
	return best
}

// distance counts the insertions, deletions, replacements and swaps of
// neighbours between two words (optimal string alignment), or returns more
// than limit early when their lengths already differ by more.
func distance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
