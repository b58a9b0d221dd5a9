"""What is a dtype, and what is only said to be one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scopeside.dtypes import dtype_of


@pytest.mark.parametrize("text", ["<u2", "|u1", ">f4", "uint16", "float64", "|b1"])
def test_plain_dtypes_are_read(text):
    assert dtype_of(text) == np.dtype(text)


@pytest.mark.parametrize(
    "text", ["", "u3", "<u2,<f4", ",(0", "(2,)i4", 7, None, "x" * 99]
)
def test_anything_else_is_no_dtype(text):
    with pytest.raises(ValueError, match="is no dtype"):
        dtype_of(text)


@given(st.text(max_size=12))
def test_text_is_a_dtype_or_a_value_error(text):
    try:
        dtype_of(text)
    except ValueError:
        return
    assert np.dtype(text)
