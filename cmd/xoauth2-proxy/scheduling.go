package main

import (
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// scheduleAsBatch has Linux take all threads of the process for such as compute:
// they get what others get, but when they are woken they do not interrupt who
// is running (sched(7), SCHED_BATCH). A loop that comes a little later finds more
// to do at a time, and leaves its clients and providers more to do. Threads that
// are made later inherit it. Another policy than the normal one is the
// operator's choice, and stays.
func scheduleAsBatch() error {
	for again := true; again; { // threads may come meanwhile from such as still have the old policy
		again = false
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		for _, thread := range threads {
			id, err := strconv.Atoi(thread.Name())
			if err != nil {
				return err
			}
			switch policy, err := schedulingOf(id); {
			case err == unix.ESRCH || err == nil && policy != unix.SCHED_NORMAL:
				continue
			case err != nil:
				return os.NewSyscallError("sched_getscheduler", err)
			}
			// Not sched_setattr: filters of system calls cannot see what it asks for.
			var priority int32
			_, _, errno := unix.Syscall(unix.SYS_SCHED_SETSCHEDULER, uintptr(id), unix.SCHED_BATCH, uintptr(unsafe.Pointer(&priority)))
			if errno != 0 && errno != unix.ESRCH {
				return os.NewSyscallError("sched_setscheduler", errno)
			}
			again = true
		}
	}
	return nil
}

// schedulingOf is the policy of a thread.
func schedulingOf(thread int) (int, error) {
	policy, _, errno := unix.Syscall(unix.SYS_SCHED_GETSCHEDULER, uintptr(thread), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(policy), nil
}
