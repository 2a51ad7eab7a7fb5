import os
import subprocess
import sys

from benchmarks.cpu import cpu_seconds, thread_seconds


def test_the_cpu_of_children_counts():
    spin = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ninput()"
    command = [sys.executable, "-c", spin]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert cpu_seconds([child.pid]) >= 0.25
        assert cpu_seconds([os.getpid()]) >= cpu_seconds([child.pid])
        child.communicate(b"\n")


def test_the_cpu_of_one_thread_is_told_by_its_name():
    spin = (
        "import threading, time\n"
        "def work():\n while time.thread_time() < 0.3: pass\n print(flush=True); input()\n"
        "one = threading.Thread(target=work); one.start()\n"
        "open(f'/proc/self/task/{one.native_id}/comm', 'w').write('busy (one)')\n"
        "one.join()"
    )
    command = [sys.executable, "-c", spin]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert thread_seconds(child.pid, named="busy") >= 0.25
        assert thread_seconds(child.pid, named="idle") == 0
        child.communicate(b"\n")
