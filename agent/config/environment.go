package config

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// variable is ${NAME}, $${ that stands for a plain ${, or a beginning of one.
var variable = regexp.MustCompile(`\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$\{`)

// expand puts variables of the environment into a value. What comes from there
// stays text: it is neither looked at for further variables nor for YAML.
func (d *decoder) expand(n *yaml.Node) {
	if !strings.Contains(n.Value, "${") {
		return
	}
	n.Value = variable.ReplaceAllStringFunc(n.Value, func(found string) string {
		name := strings.Trim(found, "${}")
		text, set := os.LookupEnv(name)
		switch {
		case found == "$${":
			return "${"
		case name == "":
			d.refuseValue(n, "after ${ stands no name of a variable that ends with }", "write ${NAME}, or $${ for a plain ${")
		case !set:
			d.refuseValue(n, fmt.Sprintf("the environment has no variable %s", name),
				"set it for the service (sudo systemctl edit edgespool: Environment="+name+"=…), or write $${"+name+"} for that text itself")
		}
		return text
	})
	n.Tag = tagOf(n.Value)
}

// tagOf says what a text is in YAML. It may stand in quotes: in {a: ${B}} it
// has to.
func tagOf(text string) string {
	if _, err := strconv.ParseInt(text, 0, 64); err == nil {
		return "!!int"
	}
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		return "!!float"
	}
	if text == "true" || text == "false" {
		return "!!bool"
	}
	return "!!str"
}

// refuseValue reports a value that is not looked at any more.
func (d *decoder) refuseValue(n *yaml.Node, problem, remedy string) {
	d.failed[n] = true
	d.fault(n, problem, remedy)
}
