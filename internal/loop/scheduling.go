package loop

import (
	"errors"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ScheduleAsBatch gives all threads of the process the policy SCHED_BATCH (sched(7)):
// they get the same share of the CPU, but a thread that wakes up does not preempt the
// running one. A loop that runs a little later finds more work at a time. New threads
// inherit the policy. A policy unlike the normal one is the operator's choice, and
// stays.
func ScheduleAsBatch() error {
	for again := true; again; { // threads with the old policy may make new threads meanwhile
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
			case errors.Is(err, unix.ESRCH) || err == nil && policy != unix.SCHED_NORMAL:
				continue
			case err != nil:
				return os.NewSyscallError("sched_getscheduler", err)
			}
			// Not sched_setattr: filters of system calls cannot see its arguments.
			var priority int32
			_, _, errno := unix.Syscall(unix.SYS_SCHED_SETSCHEDULER,
				uintptr(id), unix.SCHED_BATCH, uintptr(unsafe.Pointer(&priority)))
			if errno != 0 && errno != unix.ESRCH {
				return os.NewSyscallError("sched_setscheduler", errno)
			}
			again = true
		}
	}
	return nil
}

// schedulingOf returns the policy of a thread.
func schedulingOf(thread int) (int, error) {
	policy, _, errno := unix.Syscall(unix.SYS_SCHED_GETSCHEDULER, uintptr(thread), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(policy), nil
}
