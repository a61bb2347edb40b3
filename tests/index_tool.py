#!/usr/bin/env python3
"""Reads and forges pop3d.index: see index.h for its shape.

usage: index_tool.py FILE dump
       index_tool.py FILE forge 'PYTHON'    with h (header), r (records), names (bytearray)

`forge` writes the file back with every check right, and keeps its time.
"""
import os
import struct
import sys

HEADER = struct.Struct("=8sIIQQQQQQQqqIIQqqIIQqqIIQ40sQ")
FIELDS = ("magic byte_order record_size count capacity octets wasted first_new "
          "newest_s newest_us cur_s cur_cs cur_ns cur_cns cur_inode "
          "new_s new_cs new_ns new_cns new_inode "
          "written_s written_cs written_ns written_cns written_inode boot check").split()
RECORD = struct.Struct("=QQQHHHHQ")
RECORD_FIELDS = "octets size name_at name_length unique_length flags _ check".split()
RECORDS_AT = 256


def fnv(data, value=0xCBF29CE484222325):
    for octet in data:
        value = (value ^ octet) * 0x100000001B3 % 2**64
    return value


def main():
    path, action = sys.argv[1:3]
    status = os.stat(path)
    data = bytearray(open(path, "rb").read())
    h = dict(zip(FIELDS, HEADER.unpack_from(data)))
    r = [dict(zip(RECORD_FIELDS, RECORD.unpack_from(data, RECORDS_AT + i * RECORD.size)))
         for i in range(h["count"])]
    names_at = RECORDS_AT + h["capacity"] * RECORD.size
    names = data[names_at:]
    if action == "dump":
        print({k: v for k, v in h.items() if not k.startswith("_")})
        for record in r:
            at = record["name_at"]
            print(record["octets"], record["flags"], data[at:at + record["name_length"]])
        return
    exec(sys.argv[3], {"h": h, "r": r, "names": names, "names_at": names_at})
    for record in r:
        at = record["name_at"] - names_at
        length = record["name_length"]
        if record["flags"] & 2:
            length += record["unique_length"]
        packed = RECORD.pack(*(record[f] for f in RECORD_FIELDS))
        record["check"] = fnv(names[at:at + length], fnv(packed[:-8]))
    h["check"] = fnv(HEADER.pack(*(h[f] for f in FIELDS))[:-8])
    data[:HEADER.size] = HEADER.pack(*(h[f] for f in FIELDS))
    for i, record in enumerate(r):
        RECORD.pack_into(data, RECORDS_AT + i * RECORD.size, *(record[f] for f in RECORD_FIELDS))
    data[names_at:] = names
    with open(path, "r+b") as file:
        file.write(data)
    os.utime(path, ns=(status.st_atime_ns, h["written_s"] * 10**9 + h["written_ns"]))


main()
