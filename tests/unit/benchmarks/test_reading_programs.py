import pytest

from benchmarks.dataplane import profile
from benchmarks.dataplane.crosscheck import NotUnderstood, read_ghz, read_h2load

H2LOAD = """
finished in 2.00s, 90967.50 req/s, 17.32MB/s
requests: 181935 total, 182063 started, 181935 done, 181930 succeeded, 5 failed, 0 errored, 0 timeout
status codes: 181930 2xx, 0 3xx, 5 4xx, 0 5xx
traffic: 34.64MB (36322580) total, 4.86MB (5094178) headers
"""
PERF = """# Total Lost Samples: 0
#
# Overhead|Shared Object|Symbol
    25.50%|_dataplane.abi3.so|[.] h2::proto::streams::recv::Recv::recv_data
     9.50%|_dataplane.abi3.so|[.] <tonic::server::grpc::Grpc<T> as core::future::Future>::poll
     7.25%|_dataplane.abi3.so|[.] sha2::sha256::compress256
     3.00%|_dataplane.abi3.so|[.] <_dataplane::table::Table>::get
     6.00%|[kernel.kallsyms]|[k] tcp_sendmsg_locked
     4.00%|[kernel.kallsyms]|[k] schedule
     2.00%|libc.so.6|[.] malloc
     1.00%|python3.11|[.] _PyEval_EvalFrameDefault
     0.50%|ld-linux-x86-64.so.2|[.] 0x0000000000001234

"""


def test_h2load_is_read():
    assert read_h2load(H2LOAD) == (90967.5, 5)


@pytest.mark.parametrize(
    "printed", ["", "finished in 1.00s, 0.00 req/s\nstatus codes: 0 2xx, 0 3xx, 0 4xx, 0 5xx"]
)
def test_what_h2load_did_not_get_answered_is_no_figure(printed: str):
    with pytest.raises(NotUnderstood):
        read_h2load(printed)


def test_ghz_is_read():
    told = '{"count": 3, "rps": 6477.5, "statusCodeDistribution": {"OK": 2, "Unavailable": 1}}'
    assert read_ghz(told) == (6477.5, {"OK": 2, "Unavailable": 1})


@pytest.mark.parametrize("printed", ["", "{}", "[]", '{"rps": 1, "statusCodeDistribution": null}'])
def test_what_is_not_ghz_is_no_figure(printed: str):
    with pytest.raises(NotUnderstood):
        read_ghz(printed)


def test_a_profile_is_added_up_by_group():
    grouped = profile.grouped(PERF)
    assert grouped == {
        "HTTP/2 (h2)": 25.5,
        "gRPC": 9.5,
        "hash (HMAC-SHA-256)": 7.25,
        "kernel, network": 6.0,
        "kernel, other": 4.0,
        "index": 3.0,
        "memory (allocate, copy, compare)": 2.0,
        "Python": 1.0,
        "other": 0.5,
    }
    assert next(iter(grouped)) == "HTTP/2 (h2)"


@pytest.mark.parametrize(
    ("symbol", "group"),
    [
        ("_dataplane::codec::Arrived::subject", "decode and encode"),
        (
            "<_dataplane::service::Unary as tonic::server::service::Service<_dataplane::x>>::call",
            "service, normalising",
        ),
        ("core::ptr::drop_in_place<h2::proto::streams::StreamRef<B>>", "HTTP/2 (h2)"),
        ("<_dataplane::exchange::Exchange as core::future::future::Future>::poll", "gRPC"),
        ("unlink_chunk.constprop.0", "memory (allocate, copy, compare)"),
        ("alloc::fmt::format::format_inner", "text and hashing of Rust's library"),
        ("alloc::raw_vec::RawVec<T>::grow_one", "memory (allocate, copy, compare)"),
        ("__vdso_clock_gettime", "clock"),
    ],
)
def test_a_function_counts_where_it_is_written(symbol: str, group: str):
    assert profile.group_of({"mode": ".", "symbol": symbol}) == group


@pytest.mark.parametrize(
    ("symbol", "group"),
    [
        ("__ip_queue_xmit", "kernel, network"),
        ("_copy_from_iter", "kernel, network"),
        ("finish_task_switch.isra.0", "kernel, other"),
        ("ext4_block_write_begin", "kernel, other"),
    ],
)
def test_the_kernels_network_is_told_from_the_rest(symbol: str, group: str):
    assert profile.group_of({"mode": "k", "symbol": symbol}) == group


def test_a_profile_of_nothing_is_empty():
    assert profile.grouped("# no samples\n") == {}
