"""A first agent; run it with `python -m examples.hello`."""

import anyio
import millpond as mp

app = mp.App("hello")
greetings = app.topic("greetings", key=str, value=str)


@app.agent(greetings)
async def hello(stream):
    async for greeting in stream:
        print("heard:", greeting)


async def main():
    async with app.run():
        await greetings.send(key="visitor", value="good morning")
        await app.running.settle()


if __name__ == "__main__":
    anyio.run(main)
