package serial

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/edgespool/edgespool/sampler"
)

// A request reads registers that lie side by side in one device.
type request struct {
	register               // the first one; count is of all
	at       []int         // pairs: a byte of value, and its place in the reading
	value    []byte        // as it was last read, a byte for each coil; nil if it is not known
	due      time.Duration // when to read it again, on the boot clock
}

const (
	maxRegisters = 125  // of one answer: 1.1b3, 6.3
	maxCoils     = 2000 // 6.1
	headerTCP    = 7    // number, 0, length and unit: Messaging on TCP/IP 1.0b, 3.1.3
	maxTCP       = 260  // with header
)

// plan joins registers into requests, as few as it takes.
func plan(all []register) (requests []*request, size int) {
	order := make([]int, len(all))
	at := make([]int, len(all))
	for i := range all {
		order[i], at[i] = i, size
		size += all[i].bytes()
	}
	sort.SliceStable(order, func(i, j int) bool {
		a, b := &all[order[i]], &all[order[j]]
		switch {
		case a.unit != b.unit:
			return a.unit < b.unit
		case a.table != b.table:
			return a.table < b.table
		case a.every != b.every:
			return a.every < b.every
		}
		return a.address < b.address
	})
	var last *request
	for _, i := range order {
		r := all[i]
		if last == nil || !last.joins(&r) {
			last = &request{register: r}
			requests = append(requests, last)
		}
		last.count = max(last.count, r.address+r.count-last.address)
		for n := range r.bytes() {
			from := n
			if r.swapped {
				from = r.bytes() - 2 - n&^1 | n&1
			}
			last.at = append(last.at, (r.address-last.address)*last.width()+from, at[i]+n)
		}
	}
	return requests, size
}

// width is how many bytes each of its coils or registers has in value.
func (q *request) width() int {
	if q.table < 3 {
		return 1
	}
	return 2
}

// joins tells whether a register, which begins no earlier, can be read along.
func (q *request) joins(r *register) bool {
	limit := maxRegisters
	if q.table < 3 {
		limit = maxCoils
	}
	return q.unit == r.unit && q.table == r.table && q.every == r.every &&
		r.address <= q.address+q.count && r.address+r.count-q.address <= limit
}

// ask is what is sent: function, address and count.
func (q *request) ask() []byte {
	return []byte{byte(q.table), byte(q.address >> 8), byte(q.address), byte(q.count >> 8), byte(q.count)}
}

// answerSize is the length of the values in a good answer.
func (q *request) answerSize() int {
	if q.table < 3 {
		return (q.count + 7) / 8
	}
	return 2 * q.count
}

// An exception is what a device answers instead of values.
type exception byte

// exceptions are what the codes say (1.1b3, 7).
var exceptions = []string{1: "function is not known", 2: "address is not there", 3: "count is not allowed", 4: "device failed",
	5: "device needs more time", 6: "device is busy", 8: "memory error", 10: "gateway has no path", 11: "no answer behind the gateway"}

// Error says what the device answered.
func (e exception) Error() string {
	text := "not in the standard"
	if int(e) < len(exceptions) && exceptions[e] != "" {
		text = exceptions[e]
	}
	return fmt.Sprintf("device answers exception %d: %s", byte(e), text)
}

var (
	errNoAnswer  = errors.New("no answer")
	errBadAnswer = errors.New("bytes came, but no answer whose check is right: check baud rate, parity, wiring and termination")
)

// name is how errors call a request.
func (q *request) name() string {
	return fmt.Sprintf("unit %d, %s %d to %d", q.unit, tables[q.table], q.address, q.address+q.count-1)
}

// keep takes the values of a good answer.
func (q *request) keep(values []byte) {
	if q.table >= 3 {
		q.value = append(q.value[:0], values...)
		return
	}
	q.value = q.value[:0]
	for i := range q.count {
		q.value = append(q.value, values[i/8]>>(i%8)&1)
	}
}

// put copies the values to their places in a reading.
func (q *request) put(reading []byte) {
	for i := 0; i < len(q.at); i += 2 {
		reading[q.at[i+1]] = q.value[q.at[i]]
	}
}

// answer judges what is an answer, function code first; ok is false if it is
// none to this request.
func (q *request) answer(b []byte) (values []byte, ok bool, err error) {
	switch n := q.answerSize(); {
	case len(b) >= 2 && int(b[0]) == q.table|0x80:
		return nil, true, exception(b[1])
	case len(b) >= 2+n && int(b[0]) == q.table && int(b[1]) == n:
		return b[2 : 2+n], true, nil
	}
	return nil, false, nil
}

// findRTU looks for the answer among bytes that may begin with an echo of the
// request or with noise. More may have to come.
func (q *request) findRTU(b, asked []byte) (values []byte, ok bool, err error) {
	for i := 0; i+5 <= len(b); i++ {
		if len(b)-i >= len(asked) && slices.Equal(b[i:i+len(asked)], asked) {
			i += len(asked) - 1 // what an adapter hears of its own sending
			continue
		}
		if int(b[i]) != q.unit {
			continue
		}
		n := 5
		if int(b[i+1]) == q.table {
			n += q.answerSize()
		}
		if i+n > len(b) {
			continue
		}
		crc := sampler.CRC16Modbus(b[i : i+n-2])
		if b[i+n-2] != byte(crc) || b[i+n-1] != byte(crc>>8) {
			continue
		}
		if values, ok, err = q.answer(b[i+1 : i+n-2]); ok {
			return values, true, err
		}
	}
	return nil, false, nil
}

// findTCP looks for the answer to a request of this number among answers to
// earlier ones. It fails with errGone where the bytes are no Modbus TCP.
func (q *request) findTCP(b []byte, number uint16) (values []byte, ok bool, err error) {
	for len(b) >= headerTCP {
		n := headerTCP - 1 + int(binary.BigEndian.Uint16(b[4:]))
		if b[2] != 0 || b[3] != 0 || n <= headerTCP || n > maxTCP {
			return nil, false, fmt.Errorf("%w: what answers speaks no Modbus TCP", errGone)
		}
		if len(b) < n {
			break
		}
		if binary.BigEndian.Uint16(b) == number {
			if values, ok, err = q.answer(b[headerTCP:n]); !ok {
				return nil, true, errBadAnswer
			}
			return values, true, err
		}
		b = b[n:]
	}
	return nil, false, nil
}
