"""What can happen to the log's server: it forgets, it is emptied, another one takes over."""

from typing import TYPE_CHECKING

from simulated_server import Backup

if TYPE_CHECKING:
    from world import World


class Accidents:
    """The servers that have a copy of the log, and what becomes of the one that serves."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._backups: list[Backup] = [world.server.backup()]
        self._other: Backup | None = None  # the branch that the last rewind left

    def back_up(self) -> None:
        """The server is on disk as it is now."""
        world = self._world
        if world.server.head_now:
            self._backups = [*self._backups[-2:], world.server.backup()]

    def rewind(self) -> None:
        """The server comes back as it was, without what it had acknowledged since."""
        world = self._world
        if world.server.head_now and self._backups:
            # What is on other disks of the lost branch is thrown away, as servers do that follow this one.
            kept = world.dice.randrange(len(self._backups)) + 1
            self._backups = self._backups[:kept]
            self._other = world.server.backup()
            keep = world.dice.random() < 0.3
            lost = world.server.restore(self._backups[-1], keep_snapshots=keep)
            world.landed("rewound" if lost else "restarted", f"{lost} entries lost")

    def fail_back(self) -> None:
        """The server that was rewound away takes over again, as it was: another branch, perhaps longer."""
        world = self._world
        if world.server.head_now and self._other:
            branch, self._other = self._other, None
            world.server.restore(branch)
            self._backups = [branch]
            world.landed("failed back", f"to version {branch.state.head.version}")

    def change_servers(self) -> None:
        """A server with less takes over and goes on; then the first is back, while somebody waits for the
        answer of a replica that has not learned all of either."""
        world = self._world
        self.rewind()
        world.consume()
        world.consume()
        for number in range(len(world.replicas)):
            world.replicas[number].question()
            world.turn(number)
            world.turn(number)
        self.fail_back()
        for number in range(len(world.replicas)):
            world.turn(number)

    def recreate_log(self) -> None:
        """FLUSHALL: sooner or later a consumer creates the log anew."""
        world = self._world
        if world.server.head_now and world.server.head_now.version:
            world.landed("log flushed")
            world.server.flush()
            self._backups, self._other = [], None
