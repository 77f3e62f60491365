"""Two Modbus devices made of pymodbus: modbus_device.py PORT, where PORT is a
serial port or tcp:NUMBER on loopback. Unit 1 has values of every type, unit 2
one register and nothing else."""
import struct
import sys

from pymodbus.datastore import (ModbusSequentialDataBlock, ModbusServerContext, ModbusSlaveContext)
from pymodbus.server import StartSerialServer, StartTcpServer
from pymodbus.transaction import ModbusRtuFramer, ModbusSocketFramer


def words(layout, value):
    raw = struct.pack(">" + layout, value)
    return [int.from_bytes(raw[i:i + 2], "big") for i in range(0, len(raw), 2)]


def block(values):
    return ModbusSequentialDataBlock(0, values)


holding = [1234, 0xFFFE] + words("I", 70000) + words("i", -70000) + list(reversed(words("i", -70001))) + words("d", -2.5)
inputs = words("f", 230.5) + list(reversed(words("f", -0.25))) + [7]
one = ModbusSlaveContext(hr=block(holding), ir=block(inputs), co=block([1, 0, 1, 1, 0, 0, 0, 0, 0, 1]), di=block([0, 1]), zero_mode=True)
two = ModbusSlaveContext(hr=block([0, 0, 0, 0, 0, 99]), zero_mode=True)
context = ModbusServerContext(slaves={1: one, 2: two}, single=False)

port = sys.argv[1]
if port.startswith("tcp:"):
    StartTcpServer(context=context, framer=ModbusSocketFramer, address=("127.0.0.1", int(port[4:])))
else:
    StartSerialServer(context=context, framer=ModbusRtuFramer, port=port, baudrate=115200, timeout=0.02)
