package metric

import "strings"

// libraryHelp describes the families of the Go runtime and of the process, which the
// library writes without a help text.
const libraryHelp = `
go_cgo_calls_count: Calls from Go to C.
go_cpu_count: CPUs that the process can use.
go_gc_cpu_seconds_total: CPU seconds of garbage collection.
go_gc_duration_seconds: Seconds that garbage collections stopped the program.
go_gc_forced_count: Garbage collections that the program asked for.
go_gc_mark_assist_cpu_seconds_total: CPU seconds in which goroutines helped garbage collection.
go_gc_pauses_seconds: Seconds of single stops for garbage collection.
go_gomaxprocs: Threads that may run Go code at a time.
go_goroutines: Goroutines that exist.
go_info: 1, with the version of Go in the label.
go_info_ext: 1, with the compiler, the system and the architecture in the labels.
go_memlimit_bytes: Bytes that the runtime keeps its memory below.
go_memstats_alloc_bytes: Bytes of objects on the heap.
go_memstats_alloc_bytes_total: Bytes allocated on the heap, freed ones included.
go_memstats_buck_hash_sys_bytes: Bytes of the profiler's tables.
go_memstats_frees_total: Objects freed.
go_memstats_gc_cpu_fraction: Fraction of the CPU time that garbage collection has used.
go_memstats_gc_sys_bytes: Bytes for the bookkeeping of garbage collection.
go_memstats_heap_alloc_bytes: Bytes of objects on the heap.
go_memstats_heap_idle_bytes: Bytes of heap spans without objects.
go_memstats_heap_inuse_bytes: Bytes of heap spans with objects.
go_memstats_heap_objects: Objects on the heap.
go_memstats_heap_released_bytes: Bytes of the heap that were returned to the system.
go_memstats_heap_sys_bytes: Bytes of the heap that the system gave.
go_memstats_last_gc_time_seconds: Seconds since 1970 at the last garbage collection.
go_memstats_lookups_total: Pointer look-ups of the runtime.
go_memstats_mallocs_total: Objects allocated.
go_memstats_mcache_inuse_bytes: Bytes of allocation caches in use.
go_memstats_mcache_sys_bytes: Bytes of allocation caches that the system gave.
go_memstats_mspan_inuse_bytes: Bytes of span records in use.
go_memstats_mspan_sys_bytes: Bytes of span records that the system gave.
go_memstats_next_gc_bytes: Bytes of heap at which the next garbage collection begins.
go_memstats_other_sys_bytes: Bytes for the rest of the runtime.
go_memstats_stack_inuse_bytes: Bytes of stacks in use.
go_memstats_stack_sys_bytes: Bytes of stacks that the system gave.
go_memstats_sys_bytes: Bytes that the system gave the runtime.
go_mutex_wait_seconds_total: Seconds that goroutines waited for mutexes.
go_sched_latencies_seconds: Seconds that goroutines waited for a thread.
go_scavenge_cpu_seconds_total: CPU seconds of returning memory to the system.
go_threads: Threads of the system that exist.
process_cpu_seconds_system_total: CPU seconds in the kernel.
process_cpu_seconds_total: CPU seconds.
process_cpu_seconds_user_total: CPU seconds outside of the kernel.
process_io_read_bytes_total: Bytes read by system calls.
process_io_read_syscalls_total: System calls that read.
process_io_storage_read_bytes_total: Bytes read from disks.
process_io_storage_written_bytes_total: Bytes written to disks.
process_io_write_syscalls_total: System calls that write.
process_io_written_bytes_total: Bytes written by system calls.
process_major_pagefaults_total: Page faults that read from disks.
process_minor_pagefaults_total: Page faults that read from no disk.
process_max_fds: File descriptors that the process may have open.
process_num_threads: Threads of the process.
process_open_fds: File descriptors that are open.
process_pressure_cpu_stalled_seconds_total: Seconds in which all processes of the control group waited for a CPU.
process_pressure_cpu_waiting_seconds_total: Seconds in which some process of the control group waited for a CPU.
process_pressure_io_stalled_seconds_total: Seconds in which all processes of the control group waited for disks.
process_pressure_io_waiting_seconds_total: Seconds in which some process of the control group waited for disks.
process_pressure_memory_stalled_seconds_total: Seconds in which all processes of the control group waited for memory.
process_pressure_memory_waiting_seconds_total: Seconds in which some process of the control group waited for memory.
process_resident_memory_anon_bytes: Bytes of resident memory that no file backs.
process_resident_memory_bytes: Bytes of resident memory.
process_resident_memory_file_bytes: Bytes of resident memory that files back.
process_resident_memory_peak_bytes: Bytes of resident memory at most so far.
process_resident_memory_shared_bytes: Bytes of resident memory that other processes may share.
process_start_time_seconds: Seconds since 1970 at the start of the process.
process_virtual_memory_bytes: Bytes of virtual memory.
process_virtual_memory_peak_bytes: Bytes of virtual memory at most so far.
`

func libraryFamilies() map[string]Description {
	families := make(map[string]Description)
	for line := range strings.Lines(strings.TrimSpace(libraryHelp)) {
		name, help, _ := strings.Cut(strings.TrimSpace(line), ": ")
		families[name] = Description{Name: name, Help: help}
	}
	return families
}
