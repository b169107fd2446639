"""The code of the thread pool: threads that wait in native code for chunks of a loop to work on.

One region uses the pool at a time: whoever finds it in use, a nested call among them, works alone. The
chunks of a region are claimed one by one. All that decides a claim is one word, the ticket: its upper half
counts regions, its lower half the chunks of the region that nobody has claimed. A claim reads the ticket,
then the region's description, then takes one off the ticket, and holds only if the ticket has not changed: a
helper that was held up over the end of a region cannot take a chunk of the next one by the description of the
last. The description may change only while the lower half is zero.

Nobody waits for a helper that has claimed nothing: the caller claims chunks too, and once there are none left
it waits for those in work. Helpers report the number of chunks they did before they look for another region,
so that a region cannot end under one of them.

Who waits (a helper for a region, the caller for the last chunks) spins for a while, then marks its word as
asleep and waits in the system; who changes something looks at the word after the change. Both orders are
sequentially consistent, so one of the two sees the other.

A helper yields its core with each turn of its spinning. So where another process wants the core, the helper
gives it up between two regions and misses some, instead of losing it in the middle of a chunk, for which the
caller would have to wait for milliseconds; and where it shares a core with the caller, the caller goes first.
"""

from __future__ import annotations

import signal
import sys
import time
from string import Template

from retrograd.native.threads import MAX_THREADS

_STACK_BYTES = 8 << 20  # a main thread's usual stack: what runs in the caller runs in a helper
# How long a helper spins for the next region: longer than the Python between two calls of a compiled step,
# and about what waking a sleeping thread costs (benchmarks/threads.py).
_SPIN_NS = 50_000
_SPIN_LEAST_NS = 4_000
_FUTEX = {"x86_64": 202, "aarch64": 98, "riscv64": 98, "powerpc64le": 221}  # its number for syscall(2)
_PAUSE = {"x86_64": "call void @llvm.x86.sse2.pause()", "aarch64": "call void @llvm.aarch64.hint(i32 1)"}
_FAULTS = ("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL")  # a helper's own: they must reach faulthandler

SERIAL = """
; Without threads.
define void @retrograd_parallel(ptr %body, ptr %context, i64 %count, i64 %grain) {
  call void @serial(ptr %body, ptr %context, i64 %count, i64 %grain)
  ret void
}
define void @retrograd_set_threads(i32 %number) { ret void }
define void @retrograd_reset_threads() { ret void }
"""

LOOP = """
define internal void @serial(ptr %body, ptr %context, i64 %count, i64 %grain) {
entry:
  %step = call i64 @llvm.smax.i64(i64 %grain, i64 1)
  %any = icmp sgt i64 %count, 0
  br i1 %any, label %loop, label %done
loop:
  %begin = phi i64 [0, %entry], [%end, %loop]
  %left = sub i64 %count, %begin
  %size = call i64 @llvm.smin.i64(i64 %step, i64 %left)
  %end = add i64 %begin, %size
  call void %body(ptr %context, i64 %begin, i64 %end)
  %more = icmp slt i64 %end, %count
  br i1 %more, label %loop, label %done
done:
  ret void
}
declare i64 @llvm.smin.i64(i64, i64)
declare i64 @llvm.smax.i64(i64, i64)
"""

POOL = Template("""
; The words that threads fight over have a pair of cache lines each (they are fetched in pairs).
@ticket = internal global i64 0, align 128      ; regions so far << 32 | chunks that nobody has claimed
@unfinished = internal global i64 0, align 128  ; chunks of the region that are not done
@used = internal global i32 0, align 128        ; 1 while a region has the pool
@caller = internal global i32 0, align 128      ; 1 while the region's caller is asleep
@helpers = internal global [$max x [32 x i32]] zeroinitializer, align 128  ; 1 while the helper is asleep
; The region. Written by its caller only, read by helpers with the ticket as witness.
@body = internal global ptr null, align 128
@context = internal global ptr null
@count = internal global i64 0
@grain = internal global i64 0
@chunks = internal global i64 0
@width = internal global i32 0                  ; how many threads may work on it
@threads = internal global i32 1, align 128     ; that may work on the regions to come, the caller among them
@started = internal global i32 0                ; helpers that exist; changed by who has the pool

define void @retrograd_parallel(ptr %body, ptr %context, i64 %count, i64 %grain) {
  %step = call i64 @llvm.smax.i64(i64 %grain, i64 1)
  %above = add i64 %count, -1
  %full = udiv i64 %above, %step
  %chunks = add i64 %full, 1
  %many = icmp sgt i64 %count, %step
  %countable = icmp ule i64 %chunks, 4294967295
  %threads = load atomic i32, ptr @threads monotonic, align 4
  %together = icmp sgt i32 %threads, 1
  %a = and i1 %many, %countable
  %worthwhile = and i1 %a, %together
  br i1 %worthwhile, label %ask, label %alone
ask:
  %claim = cmpxchg ptr @used, i32 0, i32 1 acquire monotonic
  %mine = extractvalue {i32, i1} %claim, 1
  br i1 %mine, label %share, label %alone
share:
  call void @region(ptr %body, ptr %context, i64 %count, i64 %step, i64 %chunks, i32 %threads)
  store atomic i32 0, ptr @used release, align 4
  ret void
alone:
  call void @serial(ptr %body, ptr %context, i64 %count, i64 %grain)
  ret void
}

define internal void @region(ptr %body, ptr %context, i64 %count, i64 %grain, i64 %chunks, i32 %threads) {
entry:
  %wanted = sub i32 %threads, 1
  %started = load i32, ptr @started
  %few = icmp slt i32 %started, %wanted
  br i1 %few, label %start, label %publish
start:
  call void @start(i32 %wanted)
  br label %publish
publish:
  store atomic ptr %body, ptr @body monotonic, align 8
  store atomic ptr %context, ptr @context monotonic, align 8
  store atomic i64 %count, ptr @count monotonic, align 8
  store atomic i64 %grain, ptr @grain monotonic, align 8
  store atomic i64 %chunks, ptr @chunks monotonic, align 8
  store atomic i32 %threads, ptr @width monotonic, align 4
  store atomic i64 %chunks, ptr @unfinished monotonic, align 8
  %last = load atomic i64, ptr @ticket monotonic, align 8
  %number = lshr i64 %last, 32
  %next = add i64 %number, 1
  %upper = shl i64 %next, 32
  %ticket = or i64 %upper, %chunks
  store atomic i64 %ticket, ptr @ticket seq_cst, align 8
  %there = load i32, ptr @started
  %others = sub i64 %chunks, 1
  %wanted.w = zext i32 %wanted to i64
  %there.w = zext i32 %there to i64
  %b = call i64 @llvm.smin.i64(i64 %others, i64 %wanted.w)
  %callable = call i64 @llvm.smin.i64(i64 %b, i64 %there.w)
  %nobody = icmp eq i64 %callable, 0
  br i1 %nobody, label %work, label %call
call:
  %i = phi i64 [0, %publish], [%i.next, %call]
  %word = getelementptr [32 x i32], ptr @helpers, i64 %i
  call void @rouse(ptr %word)
  %i.next = add i64 %i, 1
  %called = icmp eq i64 %i.next, %callable
  br i1 %called, label %work, label %call
work:
  %done = call i64 @work(i32 0)
  %before = atomicrmw sub ptr @unfinished, i64 %done seq_cst
  %over = icmp eq i64 %before, %done
  br i1 %over, label %end, label %wait
wait:
  %seen = call i1 @spin(i64 0, ptr @unfinished, i64 -1, i1 true, i64 $spin, i1 false)
  br i1 %seen, label %end, label %doze
doze:
  call void @doze(ptr @caller, i64 0, ptr @unfinished, i64 -1, i1 true)
  br label %end
end:
  ret void
}

; Do chunks until there are none to claim, the caller as rank 0. Returns how many.
define internal i64 @work(i32 %rank) {
entry:
  br label %look
look:
  %done = phi i64 [0, %entry], [%done, %take], [%more, %do]
  %ticket = load atomic i64, ptr @ticket acquire, align 8
  %unclaimed = and i64 %ticket, 4294967295
  %none = icmp eq i64 %unclaimed, 0
  br i1 %none, label %end, label %claim
claim:
  %body = load atomic ptr, ptr @body monotonic, align 8
  %context = load atomic ptr, ptr @context monotonic, align 8
  %count = load atomic i64, ptr @count monotonic, align 8
  %grain = load atomic i64, ptr @grain monotonic, align 8
  %chunks = load atomic i64, ptr @chunks monotonic, align 8
  %width = load atomic i32, ptr @width monotonic, align 4
  %invited = icmp slt i32 %rank, %width
  br i1 %invited, label %take, label %end
take:
  %less = sub i64 %ticket, 1
  %try = cmpxchg ptr @ticket, i64 %ticket, i64 %less acq_rel monotonic
  %held = extractvalue {i64, i1} %try, 1
  br i1 %held, label %do, label %look
do:
  %index = sub i64 %chunks, %unclaimed
  %begin = mul i64 %index, %grain
  %left = sub i64 %count, %begin
  %size = call i64 @llvm.smin.i64(i64 %grain, i64 %left)
  %stop = add i64 %begin, %size
  call void %body(ptr %context, i64 %begin, i64 %stop)
  %more = add i64 %done, 1
  br label %look
end:
  ret i64 %done
}

; Whether (what lies at %watched) & %mask is %value, or is not, as %equal says.
define internal i1 @holds(i64 %value, ptr %watched, i64 %mask, i1 %equal) alwaysinline {
  %all = load atomic i64, ptr %watched seq_cst, align 8
  %part = and i64 %all, %mask
  %same = icmp eq i64 %part, %value
  %holds = icmp eq i1 %same, %equal
  ret i1 %holds
}

; Spin until that holds, for at most some ns. Returns whether it does. Who yields lets others have the core.
define internal i1 @spin(i64 %value, ptr %watched, i64 %mask, i1 %equal, i64 %patience, i1 %yields) {
entry:
  %start = call i64 @now()
  %limit = add i64 %start, %patience
  br label %look
look:
  %holds = call i1 @holds(i64 %value, ptr %watched, i64 %mask, i1 %equal)
  br i1 %holds, label %end, label %pause
pause:
  $pause
  br i1 %yields, label %yield, label %read
yield:
  call i32 @sched_yield()
  br label %read
read:
  %now = call i64 @now()
  %patient = icmp slt i64 %now, %limit
  br i1 %patient, label %look, label %end
end:
  ret i1 %holds
}

; Sleep on a word until that holds.
define internal void @doze(ptr %word, i64 %value, ptr %watched, i64 %mask, i1 %equal) {
entry:
  br label %lie_down
lie_down:
  %old = atomicrmw xchg ptr %word, i32 1 seq_cst
  %holds = call i1 @holds(i64 %value, ptr %watched, i64 %mask, i1 %equal)
  br i1 %holds, label %up, label %sleep
sleep:
  call void @sleep(ptr %word)
  br label %lie_down
up:
  store atomic i32 0, ptr %word monotonic, align 4
  ret void
}

; Wake who sleeps on a word, if anybody does.
define internal void @rouse(ptr %word) {
  %state = load atomic i32, ptr %word seq_cst, align 4
  %asleep = icmp eq i32 %state, 1
  br i1 %asleep, label %take, label %end
take:
  %old = atomicrmw xchg ptr %word, i32 0 seq_cst
  %mine = icmp eq i32 %old, 1
  br i1 %mine, label %wake, label %end
wake:
  call void @wake(ptr %word)
  br label %end
end:
  ret void
}

; A helper's life. It spins for the next region for as long as that pays: fully when the last one came within
; the full time, else half as long as before.
define internal ptr @helper(ptr %argument) {
entry:
  %index = ptrtoint ptr %argument to i64
  %word = getelementptr [32 x i32], ptr @helpers, i64 %index
  %rank.w = add i64 %index, 1
  %rank = trunc i64 %rank.w to i32
  br label %look
look:
  %spin = phi i64 [$spin, %entry], [%spin.next, %go]
  %ticket = load atomic i64, ptr @ticket acquire, align 8
  %number = and i64 %ticket, -4294967296
  %threads = load atomic i32, ptr @threads monotonic, align 4
  %needed = icmp slt i32 %rank, %threads
  %done = call i64 @work(i32 %rank)
  %some = icmp sgt i64 %done, 0
  br i1 %some, label %report, label %rest
report:
  %before = atomicrmw sub ptr @unfinished, i64 %done seq_cst
  %over = icmp eq i64 %before, %done
  br i1 %over, label %tell, label %rest
tell:
  call void @rouse(ptr @caller)
  br label %rest
rest:
  %patience = select i1 %needed, i64 %spin, i64 0
  %start = call i64 @now()
  %seen = call i1 @spin(i64 %number, ptr @ticket, i64 -4294967296, i1 false, i64 %patience, i1 true)
  br i1 %seen, label %go, label %doze
doze:
  call void @doze(ptr %word, i64 %number, ptr @ticket, i64 -4294967296, i1 false)
  br label %go
go:
  %now = call i64 @now()
  %took = sub i64 %now, %start
  %soon = icmp sle i64 %took, $spin
  %half = lshr i64 %spin, 1
  %less = call i64 @llvm.smax.i64(i64 %half, i64 $spin_least)
  %spin.next = select i1 %soon, i64 $spin, i64 %less
  br label %look
}

; Bring the number of helpers to %wanted. They take no signals: those are for Python's threads.
define internal void @start(i32 %wanted) cold noinline {
entry:
  %attributes = alloca [32 x i64], align 16
  %blocked = alloca [32 x i64], align 16
  %previous = alloca [32 x i64], align 16
  %thread = alloca ptr, align 16
  call i32 @pthread_attr_init(ptr %attributes)
  call i32 @pthread_attr_setstacksize(ptr %attributes, i64 $stack)
  call i32 @sigfillset(ptr %blocked)
$let_through
  call i32 @pthread_sigmask(i32 $setmask, ptr %blocked, ptr %previous)
  %first = load i32, ptr @started
  br label %loop
loop:
  %i = phi i32 [%first, %entry], [%next, %created]
  %more = icmp slt i32 %i, %wanted
  br i1 %more, label %create, label %end
create:
  %index = zext i32 %i to i64
  %argument = inttoptr i64 %index to ptr
  %failed = call i32 @pthread_create(ptr %thread, ptr %attributes, ptr @helper, ptr %argument)
  %ok = icmp eq i32 %failed, 0
  br i1 %ok, label %created, label %refused
created:
  %handle = load ptr, ptr %thread
  call i32 @pthread_detach(ptr %handle)
  %next = add i32 %i, 1
  store i32 %next, ptr @started
  br label %loop
refused:                       ; the system has no more: what there is must do, until the number is set again
  %possible = add i32 %i, 1
  store atomic i32 %possible, ptr @threads monotonic, align 4
  br label %end
end:
  call i32 @pthread_sigmask(i32 $setmask, ptr %previous, ptr null)
  call i32 @pthread_attr_destroy(ptr %attributes)
  ret void
}

define void @retrograd_set_threads(i32 %number) {
  store atomic i32 %number, ptr @threads monotonic, align 4
  ret void
}

; Forget all helpers: they do not exist in the child of a fork.
define void @retrograd_reset_threads() {
  store i32 0, ptr @started
  store i32 0, ptr @used
  store i32 0, ptr @caller
  store i64 0, ptr @ticket
  call void @llvm.memset.p0.i64(ptr @helpers, i8 0, i64 $helpers_bytes, i1 false)
  call void @reset_sleep()
  ret void
}

define internal i64 @now() {
  %time = alloca {i64, i64}, align 16
  call i32 @clock_gettime(i32 $clock, ptr %time)
  %seconds = load i64, ptr %time
  %place = getelementptr {i64, i64}, ptr %time, i64 0, i32 1
  %nanoseconds = load i64, ptr %place
  %scaled = mul i64 %seconds, 1000000000
  %total = add i64 %scaled, %nanoseconds
  ret i64 %total
}

declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
declare i32 @clock_gettime(i32, ptr)
declare i32 @sched_yield()
declare i32 @sigfillset(ptr)
declare i32 @sigdelset(ptr, i32)
declare i32 @pthread_sigmask(i32, ptr, ptr)
declare i32 @pthread_attr_init(ptr)
declare i32 @pthread_attr_setstacksize(ptr, i64)
declare i32 @pthread_attr_destroy(ptr)
declare i32 @pthread_create(ptr, ptr, ptr, ptr)
declare i32 @pthread_detach(ptr)
$pause_declaration
""")

# Sleep while the word is 1, and maybe a little less: who sleeps looks again.
FUTEX = Template("""
define internal void @sleep(ptr %word) {
  call i64 (i64, ...) @syscall(i64 $futex, ptr %word, i32 128, i32 1, ptr null)  ; FUTEX_WAIT_PRIVATE
  ret void
}
define internal void @wake(ptr %word) {
  call i64 (i64, ...) @syscall(i64 $futex, ptr %word, i32 129, i32 1)  ; FUTEX_WAKE_PRIVATE
  ret void
}
define internal void @reset_sleep() { ret void }
declare i64 @syscall(i64, ...)
""")
CONDITION = """
@mutex = internal global [32 x i64] zeroinitializer, align 16
@condition = internal global [32 x i64] zeroinitializer, align 16

define internal void @sleep(ptr %word) {
  call i32 @pthread_mutex_lock(ptr @mutex)
  %state = load atomic i32, ptr %word monotonic, align 4
  %asleep = icmp eq i32 %state, 1
  br i1 %asleep, label %wait, label %end
wait:
  call i32 @pthread_cond_wait(ptr @condition, ptr @mutex)
  br label %end
end:
  call i32 @pthread_mutex_unlock(ptr @mutex)
  ret void
}
define internal void @wake(ptr %word) {
  call i32 @pthread_mutex_lock(ptr @mutex)
  call i32 @pthread_cond_broadcast(ptr @condition)
  call i32 @pthread_mutex_unlock(ptr @mutex)
  ret void
}
define internal void @reset_sleep() {
  call i32 @pthread_mutex_init(ptr @mutex, ptr null)
  call i32 @pthread_cond_init(ptr @condition, ptr null)
  ret void
}
declare i32 @pthread_mutex_init(ptr, ptr)
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_init(ptr, ptr)
declare i32 @pthread_cond_wait(ptr, ptr)
declare i32 @pthread_cond_broadcast(ptr)
"""


def source(triple: str, *, futex: bool = True) -> str:
    """Return the pool's module for a machine: with futexes, else with pthreads only, else without threads."""
    machine = triple.split("-", 1)[0].replace("arm64", "aarch64").replace("amd64", "x86_64")
    if sys.platform == "win32" or sys.maxsize < 2**32:
        return LOOP + SERIAL
    faults = (int(getattr(signal, name)) for name in _FAULTS)
    pause = _PAUSE.get(machine, "")
    declaration = pause.replace("call", "declare").replace("i32 1", "i32")
    pool = POOL.substitute(
        max=MAX_THREADS,
        helpers_bytes=MAX_THREADS * 128,
        spin=_SPIN_NS,
        spin_least=_SPIN_LEAST_NS,
        stack=_STACK_BYTES,
        setmask=int(signal.SIG_SETMASK),
        let_through="\n".join(f"  call i32 @sigdelset(ptr %blocked, i32 {number})" for number in faults),
        clock=time.CLOCK_MONOTONIC,
        pause=pause,
        pause_declaration=declaration,
    )
    if futex and sys.platform == "linux" and machine in _FUTEX:
        return LOOP + pool + FUTEX.substitute(futex=_FUTEX[machine])
    return LOOP + pool + CONDITION
