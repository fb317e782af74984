/* kontor convert: a folder with safetensors to one GGUF file, the weights kept as floats. */
#include "convert.h"

static int run(int argc, char **argv)
{
    static const char *const TYPES[] = { "BF16", "F16", "F32", NULL };
    return convert_run(&cmd_convert, argc, argv, "BF16", TYPES);
}

const struct command cmd_convert = {
    .name = "convert",
    .args = "MODEL OUT.gguf [--type bf16|f16|f32] [--vision] [--replace] [--json]",
    .summary = "Turn a model folder into one GGUF file, weights kept as floats.",
    .help =
        "MODEL is a folder with config.json and safetensors, or a GGUF file. The text model, its "
        "tokenizer and\n"
        "chat template are converted; the vision part of a folder becomes a file of its own, with "
        "--vision.\n"
        "Nothing is left behind when it fails.\n"
        "  --type TYPE   bf16 (default: what models are published in), f16 or f32\n"
        "  --vision      write the vision part of a folder: call it mmproj.gguf and put it beside "
        "the\n"
        "                model's file, where it is found\n"
        "  --replace     OUT.gguf may exist and is replaced\n"
        "  --json        print one object: {\"output\",\"type\",\"bytes_in\",\"bytes_out\",\n"
        "                \"parameters\",\"tensors\",\"fallback\",\"requantised\",\"seconds\"}\n",
    .run = run,
};
