"""Imports what other memory servers keep, so that an agent that moves forgets nothing.

A reader turns a source into `found.Found`: notes and files, with everything that is wrong with the
source. Nothing is written unless the whole source could be read, and what is there already stays as
it is, so an import can be repeated.
"""
