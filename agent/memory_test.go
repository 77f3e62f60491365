package agent

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAllowedMemory(t *testing.T) {
	const v1, v2 = "sys/fs/cgroup/memory/", "sys/fs/cgroup/"
	cases := []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"nothing known", nil, 256 << 20},
		{"a board", map[string]string{"proc/meminfo": "MemTotal:         437704 kB\nMemFree: 1 kB\n"}, 437704 << 10},
		{"version 2", map[string]string{
			"proc/meminfo": "MemTotal: 4000000 kB\n", "proc/self/cgroup": "0::/system.slice/edgespool.service\n",
			v2 + "system.slice/edgespool.service/memory.max": "max\n", v2 + "system.slice/edgespool.service/memory.high": "209715200\n",
			v2 + "system.slice/memory.max": "314572800\n",
		}, 200 << 20},
		{"version 2, the slice is tighter", map[string]string{
			"proc/meminfo": "MemTotal: 4000000 kB\n", "proc/self/cgroup": "0::/system.slice/edgespool.service\n",
			v2 + "system.slice/edgespool.service/memory.max": "209715200\n", v2 + "system.slice/memory.max": "104857600\n",
		}, 100 << 20},
		{"version 1", map[string]string{
			"proc/meminfo": "MemTotal: 4000000 kB\n", "proc/self/cgroup": "5:cpu,cpuacct:/a\n4:memory:/a/b\n0::/\n",
			v1 + "memory.limit_in_bytes": "9223372036854771712\n", v1 + "a/b/memory.limit_in_bytes": "134217728\n",
		}, 128 << 20},
		{"version 1, seen from a container", map[string]string{
			"proc/meminfo": "MemTotal: 4000000 kB\n", "proc/self/cgroup": "4:memory:/docker/0123\n",
			v1 + "memory.limit_in_bytes": "67108864\n",
		}, 64 << 20},
		{"version 1 without a limit", map[string]string{
			"proc/meminfo": "MemTotal: 500000 kB\n", "proc/self/cgroup": "4:memory:/\n",
			v1 + "memory.limit_in_bytes": "9223372036854771712\n",
		}, 500000 << 10},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			for name, text := range c.files {
				path := filepath.Join(root, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if got := allowedMemory(root); got != c.want {
				t.Errorf("got %d bytes, want %d", got, c.want)
			}
		})
	}
}

func TestHeapLimit(t *testing.T) {
	cases := []struct {
		allowed int64
		bits    int
		want    int64
	}{
		{8 << 20, 64, 16 << 20}, {20 << 20, 64, 16 << 20}, {24 << 20, 64, 24 << 20 / 5 * 4}, {256 << 20, 64, 20 << 20},
		{512 << 20, 64, 32 << 20}, {8 << 30, 64, 64 << 20}, {512 << 20, 32, 20 << 20}, {8 << 30, 32, 20 << 20},
	}
	for _, c := range cases {
		if got := heapLimit(c.allowed, c.bits); got != c.want {
			t.Errorf("%d bytes allowed, pointers of %d bits: got a limit of %d, want %d", c.allowed, c.bits, got, c.want)
		}
	}
}
