"""Imports the data of other memory servers, so that an agent that moves forgets nothing.

A reader turns a source into `found.Contents`: notes and files, and a list of faults. Nothing is
written unless the whole source could be read, and existing notes and files are left alone, so an
import can be repeated.
"""
