"""The plain controls.

Each shows one value (`show_value`) and says what the performer did (`edited`); none of them knows the
store, the table's other rows, or MIDI and OSC.
"""
