"""Other words a performer may type, and the word of the vocabulary each one means.

None of them is a word of the vocabulary itself. A plural needs no entry: `engine.model.text` tries the
singular.
"""

_OTHER_WORDS = {
    "gold": "golden brass bronze",
    "chrome": "silver metal metallic steel mirror",
    "lava": "magma molten volcano",
    "ice": "frozen icy crystal snow",
    "neon": "glowing laser cyberpunk electric",
    "marble": "stone statue porcelain",
    "smoke": "cloud cloudy mist steam",
    "moss": "plant leaf leaves grass ivy",
    "velvet": "fabric silk cloth",
    "circuit": "digital matrix computer chip",
    "paper": "sketch drawing ink origami",
    "fire": "flame flames burning",
    "water": "liquid wet",
    "glass": "stained mosaic",
    "clay": "mud plasticine",
    "red": "crimson scarlet ruby",
    "orange": "amber",
    "yellow": "lemon",
    "green": "lime emerald",
    "cyan": "teal turquoise",
    "blue": "azure navy",
    "purple": "violet ultraviolet",
    "pink": "magenta rose",
    "white": "monochrome pale",
    "night": "dark midnight moonlight",
    "day": "noon daylight sky",
    "dawn": "sunrise sunset dusk",
    "fog": "foggy misty",
    "space": "cosmos galaxy stars",
    "forest": "jungle woods",
    "ocean": "sea underwater",
    "city": "urban street",
    "figure": "person dancer man woman people human",
    "portrait": "face head",
    "shapes": "geometry shape",
    "waves": "wave",
    "lines": "line",
    "blobs": "blob",
    "tunnel": "cave",
    "hand": "finger palm",
    "landscape": "mountain hill",
    "particles": "dust sparks balls",
}

SYNONYMS: dict[str, str] = {other: word for word, others in _OTHER_WORDS.items() for other in others.split()}
