package agent

// dataAPIKind: see the other one.
func dataAPIKind() (kind destinationKind, built bool) { return destinationKind{}, false }
