"""From LLVM IR to machine code in this process.

A module is parsed, verified, optimised and compiled to an object, or its object comes from the disk cache
(cache.py); either way the object is linked by LLVM's ORC, which reports a missing symbol as an error (MCJIT
ends the process) and links a small object in a tenth of MCJIT's time (benchmarks/compilation.py).

LLVM works on a thread of its own when the main thread asks, because only the main thread receives signals: an
interrupt ends the waiting, and the work ends in order, its result cached.
"""

from __future__ import annotations

import collections
import functools
import itertools
import logging
import os
import re
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from retrograd.native import cache, target, threads

# What a module may declare besides what libc and libm define, and who says where it lies.
SYMBOLS: dict[str, Callable[[], int]] = {threads.NAME: threads.ensure}

T = TypeVar("T")
logger = logging.getLogger(__name__)
_lock = threading.RLock()  # around all work of LLVM and around fork, so that no child inherits half of it
_NAME = r'@(?:"([^"]+)"|([\w.$-]+))\('
_DEFINED = re.compile(r"^define (?!internal|private)[^@\n]*" + _NAME, re.MULTILINE)
_DECLARED = re.compile(r"^declare [^@\n]*" + _NAME, re.MULTILINE)
_live: weakref.WeakValueDictionary[str, Library] = weakref.WeakValueDictionary()
_unused: collections.deque[Any] = (
    collections.deque()
)  # what kept dead libraries in memory, until the next load


class Library:
    """Machine code in memory, for as long as this object lives: whoever calls it must hold it."""

    def __init__(self, text: str, options: tuple[bool, bool], tracker: Any, functions: Iterable[str]) -> None:
        self.text = text
        self._options = options
        # Not __del__: while that runs, a weak reference still leads another thread here.
        weakref.finalize(self, _unused.append, tracker).atexit = False
        self._addresses = {name: int(tracker[name]) for name in functions}

    def address(self, name: str) -> int:
        """Return where a function lies.

        Raises:
            LookupError: the module gives none of that name to the outside.
        """
        try:
            return self._addresses[name]
        except KeyError:
            raise LookupError(f"no function {name!r}; there are {', '.join(self._addresses)}") from None

    def assembly(self) -> str:
        """Return the machine code as text. It is compiled again for that."""
        return exclusively(lambda: _compiler().assembly(self.text, *self._options))


def load(module: str, *, key: str = "", vectorize: bool = False, unroll: bool = False) -> Library:
    """Make LLVM IR callable. Equal requests share one library while it lives.

    Functions that the module declares and does not define are those of SYMBOLS or are found in the process
    (libc, libm).

    Args:
        module: LLVM IR.
        key: what listings and logs call it; of two keys, each has a library of its own.
        vectorize: let LLVM look for vectors in scalar code. Ours says what it wants.
        unroll: let LLVM unroll loops.

    Raises:
        RuntimeError: it is no valid IR, or a symbol is missing.
    """
    options = vectorize, unroll
    name = _content_name(module, key, options)
    return _live.get(name) or exclusively(lambda: _load(module, key, options, name))


def _content_name(module: str, key: str, options: tuple[bool, bool]) -> str:
    import llvmlite  # noqa: PLC0415 - loaded when first needed
    from llvmlite import binding  # noqa: PLC0415 - loaded when first needed

    here = target.host()
    versions = str(cache.VERSION), llvmlite.__version__, str(binding.llvm_version_info)
    return cache.digest((module, key, str(options), here.triple, here.cpu, here.features, *versions))


def _load(module: str, key: str, options: tuple[bool, bool], name: str) -> Library:
    found = _live.get(name)
    if found is not None:
        return found
    while _unused:
        _unused.popleft().close()
    start = time.perf_counter()
    disk = cache.current()
    code = disk.load(name) if disk else None
    how = "found in the cache"
    if code is None:
        how = "compiled"
        code = _compiler().compile(module, *options)
        if disk:
            disk.store(name, code)
    library = _live[name] = Library(module, options, *_compiler().link(module, code))
    logger.info("%s: %s in %.1f ms", key or name[:12], how, (time.perf_counter() - start) * 1e3)
    return library


def exclusively(work: Callable[[], T]) -> T:
    """Do work alone, and where no signal handler can break into it; what it raises is raised here."""
    if threading.current_thread() is not threading.main_thread():
        with _lock:
            return work()
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            with _lock:
                results.append(work())
        except BaseException as error:  # noqa: BLE001 - it is raised in the thread that asked
            errors.append(error)

    thread = threading.Thread(target=run, name="retrograd-compile")
    try:
        thread.start()
    except RuntimeError:  # the system has no thread left, or the interpreter is ending
        run()
    else:
        thread.join()
    if errors:
        raise errors.pop()
    return results.pop()


class _Compiler:
    """LLVM, set up for this machine."""

    def __init__(self) -> None:
        from llvmlite import binding  # noqa: PLC0415 - loaded when first needed

        self._llvm = binding
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
        here = target.host()
        # Constants are then addressed relative to the code, at no register; the linker makes stubs for what
        # lies further than 2 GiB away.
        self._machine = binding.Target.from_triple(here.triple).create_target_machine(
            cpu=here.cpu, features=here.features, opt=2, reloc="pic", codemodel="small", jit=True
        )
        self._session = binding.create_lljit_compiler(use_jit_link=True, suppress_errors=True)
        self._count = itertools.count()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release
            )

    def _optimised(self, text: str, vectorize: bool, unroll: bool) -> Any:
        module = self._llvm.parse_assembly(text)
        module.verify()
        tuning = self._llvm.create_pipeline_tuning_options(speed_level=2)
        tuning.loop_vectorization = tuning.slp_vectorization = tuning.loop_interleaving = vectorize
        tuning.loop_unrolling = unroll
        passes = self._llvm.create_pass_builder(self._machine, tuning)
        passes.getModulePassManager().run(module, passes)
        return module

    def compile(self, text: str, vectorize: bool, unroll: bool) -> bytes:
        return bytes(self._machine.emit_object(self._optimised(text, vectorize, unroll)))

    def assembly(self, text: str, vectorize: bool, unroll: bool) -> str:
        return str(self._machine.emit_assembly(self._optimised(text, vectorize, unroll)))

    def link(self, text: str, code: bytes) -> tuple[Any, list[str]]:
        """Place an object in memory; return what keeps it there, and the names of its functions."""
        builder = self._llvm.JITLibraryBuilder().add_object_img(code).add_current_process()
        functions = [quoted or plain for quoted, plain in _DEFINED.findall(text)]
        for name in functions:
            builder.export_symbol(name)
        declared = [quoted or plain for quoted, plain in _DECLARED.findall(text)]
        for name in declared:
            if name in SYMBOLS:
                builder.import_symbol(name, SYMBOLS[name]())
        try:
            return builder.link(self._session, f"library{next(self._count)}"), functions
        except RuntimeError as error:
            find = self._llvm.address_of_symbol
            missing = [n for n in declared if not (n.startswith("llvm.") or n in SYMBOLS or find(n))]
            raise RuntimeError(f"a module cannot be linked: nobody defines {missing}: {error}") from None


@functools.cache
def _compiler() -> _Compiler:
    return _Compiler()
