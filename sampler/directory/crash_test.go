package directory

const crashDirEnv = "EDGESPOOL_TEST_CRASH_DIR"

func crashChild(dir string) int { return 0 }
