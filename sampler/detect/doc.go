// Package detect judges windows of readings: by limits, by what was learned of
// normal ones, by an Edge Impulse model and by any program. It knows nothing
// of how readings arrive and of where records go.
package detect
