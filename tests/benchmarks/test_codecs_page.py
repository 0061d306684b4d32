"""The page of codecs shows the results, and ratios the right way round."""

from __future__ import annotations

from rate_accuracy_records import plain

from benchmarks.codec_page import CodecComparison, to_markdown
from benchmarks.codec_scale import ScaleResult
from benchmarks.codec_subjects import CodecCost, CodecSubject

SUBJECT = CodecSubject(
    name="a-pipeline",
    layers=26,
    weights=1_231_552,
    entropy_bytes=500_000.0,
    file_bytes=499_000,
    codecs={"huffman": CodecCost(505_000, 0.5, 0.01), "NNCodec": CodecCost(490_000, 1.0, 0.1)},
    best_order_bytes={"huffman": 504_000},
    with_trellis=CodecCost(450_000, 0.25, 0.2),
    smaller_huffman_bytes=503_000,
    dahuffman_decode_seconds=0.6,
    huffman_decode_seconds=0.005,
)
COMPARISON = CodecComparison(
    subjects=(SUBJECT,),
    files={"huffman": CodecCost(600_000, 0.5, 0.02), "NNCodec, qp -26": CodecCost(503_000, 1.0, 0.1)},
    one_core=CodecCost(499_300, 0.2, 0.2),
    scale=(ScaleResult("huffman", 1_000_000, 400_000, 5.04, 4.26, 2.04),),
    startup_seconds=1.04,
    repeats=7,
    cores=2,
    command="python -m benchmarks.codecs",
    machine="2 cores of x86_64",
    versions={"python": "3.11"},
    nncodec_versions={"nncodec": "2.1.3"},
)


def test_bytes_are_compared_with_the_entropy_and_times_with_nncodec():
    page = plain(to_markdown(COMPARISON))
    assert "| huffman | 505,000 | +1.0% | 504,000 | 0.50 s | 2.0 | 0.01 s | 10.0 |" in page
    assert "| context, with the trellis | 450,000 | -10.0% |  | 0.25 s | 4.0 | 0.20 s | 0.5 |" in page
    assert "| huffman | 600,000 | 0.50 s | 2.0 | 0.02 s | 5.0 |" in page
    assert "120 times as long" in page


def test_scale_and_start_up_are_shown():
    page = plain(to_markdown(COMPARISON))
    assert "| huffman | 1,000,000 | 5.0 | 4.3 | 2.0 |" in page
    assert "the first file in 1.0 s" in page
