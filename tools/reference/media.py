#!/usr/bin/env python3
"""media.py: pictures and what the models' own processors make of them.

    python3 tools/reference/media.py      (needs transformers, torch, torchvision, Pillow, ffmpeg; never run by CI)

Writes tests/data/media/ (pictures and clips, made by Pillow and ffmpeg) and tests/golden/media/:

    NAME.rgb        8-bit RGB [height, width, 3] after decoding, putting upright and resizing to between 1,024 and 4,096 pixels
    sizes.txt       n_frames height width min max -> height width     (n_frames 0: an image; 0 0: refused)
    resize.txt      height width -> height width fnv32                of the test pattern, resized by the image processor
    frames.txt      total fps -> n fnv32 fnv32                        of the chosen numbers and of the time stamps, as text

The image processor is the default one (torchvision); Pillow's differs from it by at most 2 levels, and where Pillow resizes the
columns first (since version 13, when that is less work) by more. Transparent pictures are put over white by Pillow first: the
processors drop transparency.
"""
import os
import random
import struct
import subprocess
import zlib

os.environ["OMP_NUM_THREADS"] = "1"
import numpy as np
import torch
from PIL import Image, ImageOps
from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor, smart_resize
from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor
from transformers.models.qwen3_vl.video_processing_qwen3_vl import Qwen3VLVideoProcessor
from transformers.models.qwen3_vl.video_processing_qwen3_vl import smart_resize as smart_resize_video
from transformers.video_utils import VideoMetadata

torch.set_num_threads(1)
TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests")
DATA, GOLD = os.path.join(TOP, "data", "media"), os.path.join(TOP, "golden", "media")
HALF = {"image_mean": [.5] * 3, "image_std": [.5] * 3, "patch_size": 16, "temporal_patch_size": 2, "merge_size": 2}


def fnv32(data):
    h = 0x811C9DC5
    for b in data:
        h = ((h ^ b) * 0x01000193) & 0xFFFFFFFF
    return f"{h:08x}"


def processed(im, lo, hi):
    r = Qwen2VLImageProcessor(size={"shortest_edge": lo, "longest_edge": hi}, **HALF)(images=im, return_tensors="np")
    _, gh, gw = (int(v) for v in r["image_grid_thw"][0])
    x = np.asarray(r["pixel_values"]).reshape(gh // 2, gw // 2, 2, 2, 3, 2, 16, 16)[:, :, :, :, :, 0]
    x = x.transpose(0, 2, 5, 1, 3, 6, 4).reshape(gh * 16, gw * 16, 3)
    return np.rint((x * .5 + .5) * 255).astype(np.uint8)


def photo(r, w=72, h=40):
    a = np.zeros((h, w, 3))
    for step, weight in ((4, .2), (16, .8)):
        small = Image.fromarray(r.integers(0, 256, (h // step + 2, w // step + 2, 3), dtype=np.uint8))
        a += np.asarray(small.resize((w, h), Image.BICUBIC), float) * weight
    return Image.fromarray(np.clip(a, 0, 255).astype(np.uint8))


def white(im):
    im = im.convert("RGBA")
    under = Image.new("RGBA", im.size, (255, 255, 255, 255))
    under.alpha_composite(im)
    return under.convert("RGB")


def png(w, h, bits, colour, rows):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, bits, colour, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows), 9)) + chunk(b"IEND", b""))


def pictures():
    r = np.random.default_rng(20261124)
    P = photo(r)
    blocks = Image.fromarray(r.integers(16, 240, (5, 9, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1))
    A = P.copy()
    A.putalpha(Image.fromarray(r.integers(0, 256, (40, 72), dtype=np.uint8)))
    few = P.quantize(16)
    done = {}

    def gold(name, im):
        if name not in done:
            done[name] = processed(im, 1024, 4096)
            done[name].tofile(os.path.join(GOLD, name + ".rgb"))

    def put(file, golden, im, want=None, **how):
        path = os.path.join(DATA, file)
        if isinstance(im, bytes):
            with open(path, "wb") as f:
                f.write(im)
        else:
            im.save(path, **how)
        gold(golden, want or ImageOps.exif_transpose(Image.open(path)).convert("RGB"))

    # The same picture, stored turned in all eight ways: once upright they are equal.
    back = [None, None, Image.FLIP_LEFT_RIGHT, Image.ROTATE_180, Image.FLIP_TOP_BOTTOM, Image.TRANSPOSE, Image.ROTATE_90,
            Image.TRANSVERSE, Image.ROTATE_270]
    for o in range(1, 9):
        exif = Image.Exif()
        exif[0x112] = o
        stored = blocks if o == 1 else blocks.transpose(back[o])
        put(f"exif{o}.jpg", "blocks", stored, blocks, quality=97, subsampling=0, exif=exif)
        if o in (3, 6):
            put(f"exif{o}.png", "blocks", stored, blocks, exif=exif, optimize=True)
        if o == 8:
            put("exif8.webp", "blocks", stored, blocks, exif=exif, lossless=True)
        if o in (5, 7):
            put(f"orient{o}.tif", "blocks", stored, blocks, compression="tiff_lzw", tiffinfo={274: o})
    put("colour.jpg", "jpeg_colour", P, quality=80)
    put("progressive.jpg", "jpeg_colour", P, quality=80, progressive=True)
    put("grey.jpg", "jpeg_grey", P.convert("L"), quality=80)
    put("cmyk.jpg", "jpeg_cmyk", P.convert("CMYK"), quality=80)
    put("colour.png", "photo", P, optimize=True)
    put("palette.png", "few", few, optimize=True)
    put("bits.png", "bits", P.convert("1"), optimize=True)
    put("alpha.png", "alpha", A, white(A), optimize=True)
    put("grey_alpha.png", "grey_alpha", A.convert("LA"), white(A.convert("LA")), optimize=True)
    put("palette_alpha.png", "few_clear", few, white_of(few, 3), transparency=3, optimize=True)
    p16 = np.asarray(P).astype(np.uint16) * 256 + r.integers(0, 256, (40, 72, 3)).astype(np.uint16)
    put("colour16.png", "photo", png(72, 40, 16, 2, [row.astype(">u2").tobytes() for row in p16]), P)
    grey = P.convert("L")
    g16 = np.asarray(grey).astype(np.uint16) * 257
    put("grey16.png", "grey", png(72, 40, 16, 0, [row.astype(">u2").tobytes() for row in g16]), grey.convert("RGB"))
    put("lossy.webp", "webp_lossy", P, quality=70)
    put("lossless.webp", "photo", P, lossless=True)
    put("alpha.webp", "alpha", A, white(A), lossless=True, exact=True)
    put("animated.webp", "photo", P, P, save_all=True, append_images=[photo(r)], lossless=True, duration=100)
    for c in ("tiff_lzw", "tiff_deflate", "packbits"):
        put(c.replace("tiff_", "") + ".tif", "photo", P, compression=c)
    put("cmyk.tif", "tiff_cmyk", P.convert("CMYK"), compression="tiff_lzw")
    put("alpha.tif", "alpha", A, white(A), compression="tiff_lzw")
    put("fax.tif", "bits", P.convert("1"), compression="group4")
    put("grey16.tif", "grey", Image.fromarray(g16), grey.convert("RGB"), compression="tiff_lzw")
    put("pages.tif", "photo", P, P, save_all=True, append_images=[photo(r)], compression="tiff_lzw")
    put("colour.gif", "few", few)
    put("interlaced.gif", "few", few, interlace=1)
    put("animated.gif", "few", few, few.convert("RGB"), save_all=True, append_images=[photo(r).quantize(16)])
    put("clear.gif", "few_clear", few, white_of(few, 3), transparency=3)
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", os.path.join(DATA, "colour.png"), "-c:v", "png", "-pix_fmt", "rgb48be",
                    os.path.join(DATA, "ffmpeg16.png")], check=True)
    gold("ffmpeg16", Image.open(os.path.join(DATA, "ffmpeg16.png")).convert("RGB"))
    float32 = Image.fromarray(np.asarray(grey).astype(np.float32))
    float32.save(os.path.join(DATA, "float.tif"), compression="tiff_lzw")


def white_of(few, clear):
    a = np.asarray(few.convert("RGB")).copy()
    a[np.asarray(few) == clear] = 255
    return Image.fromarray(a)


def clips():
    source = "testsrc2=size=72x40:rate={}:duration={}"
    for name, rate, seconds, how in (("clip.mp4", 10, 3, ["-c:v", "libx264", "-pix_fmt", "yuv420p"]),
                                     ("clip.webm", 12, 2, ["-c:v", "libvpx", "-b:v", "60k"])):
        subprocess.run(["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", source.format(rate, seconds), *how, "-fflags",
                        "+bitexact", os.path.join(DATA, name)], check=True)


def sizes():
    r, out = random.Random(1), []
    cases = [(0, h, w, 65536, 16777216) for h, w in
             ((480, 640), (1080, 1920), (720, 1280), (240, 320), (100, 100), (768, 768), (6000, 4000), (1, 150), (1200, 48),
              (1, 200), (1, 201), (16, 16), (48, 48), (80, 112))]
    for _ in range(150):
        h = int(2 ** r.uniform(0, 14))
        cases.append((0, h, max(1, int(h * 2 ** r.uniform(-7.7, 7.7))), *r.choice([(65536, 16777216), (3136, 12845056), (1024, 4096)])))
    for _ in range(150):
        h = int(2 ** r.uniform(0, 12))
        cases.append((r.choice([2, 3, 4, 5, 7, 20, 21, 99, 768]), h, max(1, int(h * 2 ** r.uniform(-7.7, 7.7))), 4096, 25165824))
    for n, h, w, lo, hi in cases:
        try:
            th, tw = smart_resize_video(n, h, w, 2, 32, lo, hi) if n else smart_resize(h, w, 32, lo, hi)
        except ValueError:
            th = tw = 0
        out.append(f"{n} {h} {w} {lo} {hi} {th} {tw}\n")
    with open(os.path.join(GOLD, "sizes.txt"), "w") as f:
        f.writelines(out)


def pattern(h, w):
    """Small patches of noise and fine lines; the same in tests/e2e/test_media.c."""
    y, x = np.mgrid[0:h, 0:w].astype(np.uint32)
    v = []
    for c in range(3):
        k = ((y // 5) * np.uint32(0x9E3779B1) ^ (x // 7) * np.uint32(0x85EBCA77) ^ np.uint32(c * 0xC2B2AE3D & 0xFFFFFFFF)) * np.uint32(0x27D4EB2F)
        v.append(((k >> 15) ^ ((x * y) % 3 == 0) * np.uint32(0x40)) & 255)
    return np.stack(v, -1).astype(np.uint8)


def resizes():
    with open(os.path.join(GOLD, "resize.txt"), "w") as f:
        for h, w in ((480, 640), (240, 320), (100, 100), (1, 150), (1200, 48), (37, 53), (33, 500), (720, 1280), (901, 1203), (1500, 1111)):
            im = processed(Image.fromarray(pattern(h, w)), 65536, 400000 if h > 1000 and w > 1000 else 16777216)
            f.write(f"{h} {w} {im.shape[0]} {im.shape[1]} {fnv32(im.tobytes())}\n")


def frames():
    vp, out = Qwen3VLVideoProcessor(), []
    for total in (2, 3, 4, 5, 9, 30, 75, 240, 999, 5000, 40000):
        for fps in (24.0, 25.0, 30000 / 1001, 1.0, 0.5, 60.0, 12.5):
            idx = [int(i) for i in vp.sample_frames(VideoMetadata(total_num_frames=total, fps=fps), fps=2)]
            stamps = Qwen3VLProcessor._calculate_timestamps(None, list(idx), fps, 2)
            out.append(f"{total} {fps!r} {len(idx)} {fnv32(','.join(map(str, idx)).encode())} "
                       f"{fnv32(','.join(f'{s:.1f}' for s in stamps).encode())}\n")
    with open(os.path.join(GOLD, "frames.txt"), "w") as f:
        f.writelines(out)


def main():
    for folder in (DATA, GOLD):
        os.makedirs(folder, exist_ok=True)
    pictures()
    clips()
    sizes()
    resizes()
    frames()


if __name__ == "__main__":
    main()
