#!/bin/bash
# run.sh: what make run shows after building: sample documents, indexed, and questions answered with checked quotations.
#
# It works on a home of its own (build/home), made anew each time, so nobody's documents are touched.
set -eu
cd "$(dirname "$0")/.."
export LC_ALL=C.UTF-8

kontor=build/release/kontor
samples=build/samples
export KONTOR_HOME=$PWD/build/home
export KONTOR_CHAT_MODEL=$PWD/build/deps/models/SmolLM2-135M-Instruct.Q4_1.gguf
export KONTOR_EMBED_MODEL=$PWD/build/deps/models/minilm

if [ -t 1 ]; then bold=$(printf '\033[1m') plain=$(printf '\033[0m'); else bold='' plain=''; fi
say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
ask() {
    printf '\n%sQuestion: %s%s\n\n' "$bold" "$1" "$plain"
    "$kontor" ask "$1"
}

say "1. Two small models (190 MB, fetched once and kept)"
tools/fetch.sh models
echo "A model that writes (SmolLM2, 135 million weights) and one that finds (MiniLM) are in build/deps/models."

say "2. Sample documents: a law office and a medical practice, all invented"
rm -rf "$samples"
python3 tools/samples/generate.py "$samples"
echo "Contracts, letters, minutes, invoices, e-mails and three manuals, in German and English: $(
    find "$samples" -type f | sed 's/.*\.//' | sort | uniq -c | awk '{ printf "%s%s %s", n++ ? ", " : "", $1, $2 }')."

say "3. Reading and indexing them, on this machine only"
rm -rf "$KONTOR_HOME"
started=$SECONDS
"$kontor" add "$samples"
echo "That took $((SECONDS - started)) seconds. The index is one encrypted file under build/home."

say "4. Four questions. Every quotation below stands word for word in the file it names."
ask "Wo ist der Sammelpunkt der Kanzlei bei einem Brand?"
ask "Welchem Durchgangsarzt wird man nach einer Nadelstichverletzung vorgestellt?"
ask "What is the range of the practice car?"
ask "Welche Blutgruppe hat Frau Clausen?"
echo
echo "(The last question has no answer in these files. Saying so is part of the job.)"

say "What to try next"
cat <<TEXT
  The model used here is one of the smallest there are: it finds and quotes, its own sentences are plain. Point
  KONTOR_CHAT_MODEL at a larger model for better ones. To go on with these documents, in this folder:

    export KONTOR_HOME=$KONTOR_HOME
    export KONTOR_CHAT_MODEL=$KONTOR_CHAT_MODEL
    export KONTOR_EMBED_MODEL=$KONTOR_EMBED_MODEL
    $kontor ask "Wer ist die Datenschutzbeauftragte der Kanzlei?"
    $kontor search "Kündigungsfrist"          passages only, no model writes anything
    $kontor status --all                      every file, and what became of it
    $kontor add ~/Documents                   your own folder; nothing leaves this machine
    $kontor --help                            everything else

  More questions with their answers: tools/samples/questions.json
TEXT
