// For people who write programs: the address of /v1/videos, a token, and an example.

import { button, el, say } from "./dom.js";
import { freshToken, HERE } from "./session.js";

const EXAMPLE = `from openai import OpenAI

client = OpenAI(base_url="${HERE}v1", api_key=TOKEN)
video = client.videos.create_and_poll(prompt="a bee lands on a sunflower")
if video.status == "completed":
    client.videos.download_content(video.id).write_to_file("bee.mp4")
else:
    print(video.error.message)
`;

export function programs(view) {
  const copy = button(
    "Copy a token for programs",
    async () => {
      await navigator.clipboard.writeText(await freshToken());
      say("The token is copied. Whoever has it can do what you can do here, for one hour.");
    },
    "first",
  );
  view.append(
    el("h1", { tabIndex: -1 }, "For programs"),
    el("p", {}, "Programs can make videos here with a client that they may have already: the videos of the OpenAI API. They need the address of this API and a token, which works for one hour."),
    el("p", {}, el("code", {}, `${HERE}v1`)),
    el("div", { className: "row" }, copy),
    el("pre", {}, EXAMPLE),
  );
  return () => {};
}
