"""Extension over several chunks: how strongly the key frames stand in each, until their turn is over."""

from collections.abc import Hashable


class Extension:
    """Counts the chunks since key frames were put up.

    The first frame leads fully and lets go step by step; the last one takes over step by step until it is
    reached. After so many chunks both are over, and stay so until others (or the same again) are put up.
    """

    def __init__(self) -> None:
        self._shown: Hashable = None
        self._made = 0
        self._over = False

    def turn(self, shown: Hashable, chunks: int) -> tuple[float, float]:
        """Strength 0..1 of the first and the last frame in the next chunk, of `chunks` in all.

        `shown` tells one pair of key frames from another.
        """
        if shown != self._shown:
            self._shown, self._made, self._over = shown, 0, False
        # Once over, they stay so: a larger number later must not bring an old picture back into the show.
        self._over = self._over or self._made >= chunks
        if self._over:
            return 0.0, 0.0
        self._made += 1
        self._over = self._made >= chunks
        return (chunks - self._made + 1) / chunks, self._made / chunks
