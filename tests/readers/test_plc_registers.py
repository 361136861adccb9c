"""Registers of a Modbus device: settings, requests, and words against pymodbus' own conversion."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.client import ModbusTcpClient

from insitu.errors import ConfigError
from insitu.readers.plc_registers import registers_of, requests_of, value_of

KINDS = {
    "int16": st.integers(-(2**15), 2**15 - 1),
    "uint16": st.integers(0, 2**16 - 1),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "uint32": st.integers(0, 2**32 - 1),
    "float32": st.floats(width=32, allow_nan=False, allow_infinity=False),
    "float64": st.floats(allow_nan=False, allow_infinity=False),
}


@pytest.mark.parametrize("words", ["big", "little"])
@pytest.mark.parametrize("kind", KINDS)
@given(choice=st.data())
def test_words_mean_what_pymodbus_writes(kind, words, choice):
    number = choice.draw(KINDS[kind])
    written = ModbusTcpClient.convert_to_registers(
        number, getattr(ModbusTcpClient.DATATYPE, kind.upper()), word_order=words
    )
    (register,) = registers_of({"a": {"address": 0, "type": kind, "words": words}})
    assert len(written) == register.size
    assert value_of(register, written) == number


def test_scale_and_offset_make_the_unit():
    (register,) = registers_of({"a": {"address": 0, "type": "int16", "scale": 0.1, "offset": -40, "unit": "degC"}})
    assert value_of(register, [615]) == pytest.approx(21.5)
    assert register.unit == "degC"


@given(
    st.lists(st.tuples(st.integers(0, 400), st.sampled_from(["uint16", "int32", "float64"])), min_size=1, max_size=60)
)
def test_requests_read_every_register_and_nothing_else(told):
    registers = registers_of({f"r{i}": {"address": a, "type": k} for i, (a, k) in enumerate(told)})
    requests = requests_of(registers)
    named = {a for r in registers for a in range(r.address, r.address + r.size)}
    asked = {a for r in requests for a in range(r.address, r.address + r.count)}
    assert asked == named
    assert sorted(r.name for q in requests for r in q.registers) == sorted(r.name for r in registers)
    for request in requests:
        assert request.count <= 125
        for r in request.registers:
            assert request.address <= r.address
            assert r.address + r.size <= request.address + request.count
    assert np.all(np.diff([r.address for r in requests]) > 0) or any(r.count > 100 for r in requests)


@pytest.mark.parametrize(
    ("told", "where"),
    [
        ({}, "registers"),
        ({"a": {}}, "registers.a.address"),
        ({"a": {"address": 65535, "type": "float32"}}, "registers.a.address"),
        ({"a": {"address": 1.5}}, "registers.a.address"),
        ({"a": {"address": 1, "type": "float"}}, "registers.a.type"),
        ({"a": {"address": 1, "table": "coil", "type": "int16"}}, "registers.a.type"),
        ({"a": {"address": 1, "type": "bool"}}, "registers.a.type"),
        ({"a": {"address": 1, "table": "holdings"}}, "registers.a.table"),
        ({"a": {"address": 1, "words": "middle"}}, "registers.a.words"),
        ({"a": {"address": 1, "scale": "ten"}}, "registers.a.scale"),
        ({"a": {"address": 1, "unit": "degrees of warmth"}}, "registers.a.unit"),
        ({"a": {"address": 1, "adress": 2}}, "registers.a"),
        ({"Oil": {"address": 1}}, "registers.Oil"),
    ],
)
def test_what_cannot_be_is_refused_with_its_key(told, where):
    with pytest.raises(ConfigError) as error:
        registers_of(told)
    assert error.value.where == where
    assert error.value.expected
