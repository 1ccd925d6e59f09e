// A sensor that learns: hold the button of a class, and the reading counts as one of it. Put model.h, which
// `python -m bep_jax export --learn` writes, beside this sketch.
#include "model.h"

const int buttons[] = {2, 3, 4, 5, 6};  // one for each class
bep_input_t reading[BEP_NUM_INPUTS];

void setup() {
  Serial.begin(115200);
  for (int c = 0; c < BEP_NUM_CLASSES; c++) pinMode(buttons[c], INPUT_PULLUP);
}

void loop() {
  for (unsigned i = 0; i < BEP_NUM_INPUTS; i++) {
    reading[i] = (bep_input_t)(analogRead(A0) >> 6);  // 0 to 15, as in training
    delay(2);
  }
  int label = -1;
  for (int c = 0; c < BEP_NUM_CLASSES; c++)
    if (digitalRead(buttons[c]) == LOW) label = c;
  int found = label < 0 ? bep_predict(reading) : bep_learn(reading, label);
  Serial.println(found);
}
