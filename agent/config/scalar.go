package config

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

var durationType = reflect.TypeFor[time.Duration]()

// kindWords say what a node is, for people.
var kindWords = map[yaml.Kind]string{
	yaml.MappingNode: "a section", yaml.SequenceNode: "a list", yaml.ScalarNode: "text",
}

func kindOf(n *yaml.Node) string {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch n.ShortTag() {
	case "!!null":
		return "empty"
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	}
	return kindWords[n.Kind]
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// scalar decodes a single value and reports what it is instead.
func (d *decoder) scalar(n *yaml.Node, v reflect.Value, name string) {
	problem, remedy := "", ""
	switch {
	case n.Kind != yaml.ScalarNode:
		problem, remedy = fmt.Sprintf("%s is %s, not a single value", name, kindOf(n)), "write the value behind the colon"
	case isNull(n):
		problem, remedy = name+" has no value", "write a value behind the colon, or remove the line"
	case n.Style&yaml.TaggedStyle != 0:
		problem, remedy = "tags such as "+n.Tag+" mean nothing here", "remove the tag"
	default:
		problem, remedy = setScalar(n, v, name)
	}
	if problem != "" {
		d.failed[n] = true
		d.fault(n, problem, remedy)
	}
}

// setScalar sets v, or says what is wrong and how to mend it.
func setScalar(n *yaml.Node, v reflect.Value, name string) (problem, remedy string) {
	if t, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if err := t.UnmarshalText([]byte(n.Value)); err != nil {
			problem, remedy, _ = strings.Cut(err.Error(), "; ") // as the house's errors name a remedy
			return name + ": " + problem, remedy
		}
		return "", ""
	}
	if v.Type() == durationType {
		t, ok := parseDuration(n.Value)
		if !ok {
			return fmt.Sprintf("%s: %q is not a length of time", name, n.Value), "write for example 500ms, 2s, 10m, 1h30m or 7d"
		}
		v.SetInt(int64(t))
		return "", ""
	}
	switch tag := n.ShortTag(); v.Kind() {
	case reflect.String: // any word is text as it stands: labels may be 5 or yes
		v.SetString(n.Value)
	case reflect.Bool:
		if tag != "!!bool" {
			return fmt.Sprintf("%s: %q is neither true nor false", name, n.Value), "write true or false"
		}
		v.SetBool(strings.EqualFold(n.Value, "true"))
	case reflect.Float32, reflect.Float64:
		f, err := strconv.ParseFloat(n.Value, 64)
		if tag != "!!float" && tag != "!!int" || err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return fmt.Sprintf("%s: %q is not a number", name, n.Value), "write a number such as 62.5, without quotes and units"
		}
		v.SetFloat(f)
	default:
		return setInteger(n, v, name)
	}
	return "", ""
}

func setInteger(n *yaml.Node, v reflect.Value, name string) (problem, remedy string) {
	i, err := strconv.ParseInt(n.Value, 0, 64)
	switch {
	case n.ShortTag() != "!!int" || err != nil:
		return fmt.Sprintf("%s: %q is not a whole number", name, n.Value), "write digits only, without quotes and units"
	case v.CanInt() && !v.OverflowInt(i):
		v.SetInt(i)
	case v.CanUint() && i >= 0 && !v.OverflowUint(uint64(i)):
		v.SetUint(uint64(i))
	default:
		return fmt.Sprintf("%s: %s is out of range", name, n.Value), ""
	}
	return "", ""
}

// parseDuration reads what Go writes, and days: 7d, 1d12h.
func parseDuration(text string) (time.Duration, bool) {
	var days time.Duration
	if number, rest, ok := strings.Cut(text, "d"); ok {
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			return 0, false
		}
		days, text = time.Duration(n)*24*time.Hour, rest
		if text == "" {
			return days, true
		}
	}
	t, err := time.ParseDuration(text)
	if err != nil || t < 0 && days > 0 {
		return 0, false
	}
	return days + t, days+t >= days
}
