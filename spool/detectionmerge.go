package spool

import "fmt"

// merge builds the newest store anew with its chunks joined to large ones, so
// that it has few keys; d.layout is held for writing. What cannot be read is set
// aside with the old store.
func (d *detections) merge(n uint64) error {
	logs, _, err := d.scan(n, false, 0)
	if err != nil {
		return fmt.Errorf("merge detections: %w", err)
	}
	v := &detectionView{d: d, numbers: []uint64{n}}
	var broken error
	var batch []Detection
	each := func(visit func(key, value []byte) error) error {
		flush := func(all bool) error {
			for len(batch) > 0 {
				size := chunkOf(batch)
				if size == len(batch) && !all {
					return nil
				}
				value, err := encodeDetections(d.codec, batch[:size], true)
				if err == nil {
					err = visit(detectionKey(batch[0].ID, batch[size-1].ID), value)
				}
				if err != nil {
					return err
				}
				batch = batch[size:]
			}
			return nil
		}
		for i := range logs.places {
			p := &logs.places[i]
			value, err := v.readFrom(p)
			if err == nil {
				var some []Detection
				some, err = detectionsIn(d.codec, value, func(id uint64) bool { return id >= p.from })
				batch = append(batch, some...)
			}
			if err != nil {
				broken = err
			}
			if err := flush(false); err != nil {
				return err
			}
		}
		return flush(true)
	}
	err = d.stores.rebuild(n, each, func() error { return broken })
	if v.file != nil {
		v.file.Close()
	}
	if err != nil {
		return fmt.Errorf("merge detections: %w", err)
	}
	return nil
}
