"""The CUDA sources compile for the cards of the time, without spills."""

import re
import shutil
import subprocess

import pytest
from bench.cubin import (
    ARCHITECTURES,
    CompileError,
    Footprint,
    compile_cubin,
    footprints,
    nvrtc,
)

from scopeside_processors.kernels.cuda import SOURCES, TAKEN, source_of

MOST_REGISTERS = {"labels": 80, "patterns": 64}
"""With 80, three blocks of 256 threads fit a multiprocessor, and enough loads are under
way for its share of the bandwidth."""

SPILLS = """
extern "C" __global__ void spills(const float* in, float* out, int n) {
    float kept[64];
    for (int k = 0; k < 64; k++) kept[k] = in[k * n];
    for (int k = 0; k < n; k++) kept[(k * 7) % 64] += in[k];
    for (int k = 0; k < 64; k++) out[k] = kept[(k + n) % 64];
}
extern "C" __global__ void plain(float* out) { out[threadIdx.x] = 1; }
"""


@pytest.fixture(scope="module")
def library():
    try:
        return nvrtc()
    except CompileError as error:
        pytest.skip(str(error))


def names_in(source):
    expected = {"labels": set(), "patterns": {"no_peak"}}
    for code in TAKEN:
        for name in ("counts", "moments"):
            expected["labels"] |= {f"{name}_{code}_1", f"{name}_{code}_4"}
        expected["patterns"].add(f"pattern_{code}")
    return expected[source]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("source", SOURCES)
def test_kernels_compile_and_spill_nothing(library, source, architecture):
    found = footprints(compile_cubin(library, source_of(source), architecture))
    assert found.keys() == names_in(source)
    assert {name: one for name, one in found.items() if one.stack} == {}
    assert max(one.registers for one in found.values()) <= MOST_REGISTERS[source]


def test_local_memory_is_seen(library):
    found = footprints(compile_cubin(library, SPILLS, "sm_90"))
    assert found["spills"].stack >= 256
    assert found["plain"].stack == 0


@pytest.mark.skipif(shutil.which("ptxas") is None, reason="ptxas is not installed")
def test_what_is_read_from_a_cubin_is_what_ptxas_prints(tmp_path):
    ptx = tmp_path / "kernels.ptx"
    ptx.write_text(PTX)
    command = ["ptxas", "-v", "-arch=sm_80", ptx, "-o", ptx.with_suffix(".cubin")]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    printed = {
        name: Footprint(int(registers), int(stack))
        for name, stack, registers in re.findall(
            r"'(\w+)' for.*?(\d+) bytes stack frame.*?Used (\d+) registers",
            said.stderr + said.stdout,
            re.DOTALL,
        )
    }
    assert len(printed) == 2
    assert footprints(ptx.with_suffix(".cubin").read_bytes()) == printed


PTX = """
.version 7.0
.target sm_80
.address_size 64
.visible .entry keeps(.param .u64 out)
{
    .local .align 16 .b8 room[96];
    .reg .b64 %r<4>;
    .reg .b32 %v<3>;
    ld.param.u64 %r1, [out];
    cvta.to.global.u64 %r1, %r1;
    mov.u64 %r2, room;
    mov.u32 %v1, %tid.x;
    cvt.u64.u32 %r3, %v1;
    add.u64 %r2, %r2, %r3;
    st.local.u32 [%r2], %v1;
    ld.local.u32 %v2, [room+4];
    st.global.u32 [%r1], %v2;
    ret;
}
.visible .entry nothing()
{
    ret;
}
"""


def test_a_source_that_is_wrong_is_refused_with_the_reason(library):
    with pytest.raises(CompileError, match="undefined"):
        compile_cubin(library, "__global__ void f() { nowhere(); }", "sm_90")


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"MZ" + bytes(100)])
def test_what_is_no_cubin_is_refused(data):
    with pytest.raises(ValueError, match="ELF"):
        footprints(data)


def test_an_architecture_that_is_not_there_is_refused(library):
    with pytest.raises(CompileError):
        compile_cubin(library, source_of("patterns"), "sm_1")
