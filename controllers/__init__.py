"""Hands: MIDI and OSC become values in the store. Knows engine.core and nothing above it.

Import from the files themselves (`from controllers.router import Router`).
"""
