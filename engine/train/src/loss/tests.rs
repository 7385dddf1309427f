//! Values and gradients against float64 figures from numpy 2.4 and scipy 1.17 (gradients by central differences).

use candle_core::{Device, Tensor, Var};
use rstest::rstest;

use super::attention::{Seen, relation_divergence, score_difference};
use super::{
    cosine_distance, cross_entropy, mean_of_directions, mean_of_distributions, mean_squared_error, soft_cross_entropy,
    squared_difference,
};

fn logits() -> Var {
    Var::new(&[[2.0_f64, -1.0, 0.5], [0.0, 3.0, -2.0], [1.0, 1.0, 1.0]], &Device::Cpu).unwrap()
}

fn check(loss: &Tensor, variable: &Var, value: f64, gradient: &[f64]) {
    let found = loss.to_scalar::<f64>().unwrap();
    assert!((found - value).abs() < 1e-12, "loss {found}, expected {value}");
    let gradients = loss.backward().unwrap();
    let found = gradients.get(variable).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
    for (found, expected) in found.iter().zip(gradient) {
        assert!((found - expected).abs() < 1e-8, "gradient {found}, expected {expected}");
    }
}

#[rstest]
#[case(false, 0.0, 2.1316362735674717, [-0.071467655, 0.013037524, 0.058430131, 0.015707806, 0.315499708, -0.331207513, 0.111111111, -0.222222222, 0.111111111])]
#[case(false, 0.1, 2.103858495789694, [-0.049245433, 0.001926413, 0.04731902, 0.004596694, 0.304388596, -0.308985291, 0.1, -0.2, 0.1])]
#[case(true, 0.0, 1.4188652833377, [-0.06125799, 0.011175021, 0.050082969, 0.006731917, 0.13521416, -0.141946077, 0.19047619, -0.380952381, 0.19047619])]
#[case(true, 0.1, 1.4401423823606772, [-0.038469433, -0.007686348, 0.046155781, -0.001894304, 0.134195096, -0.132300792, 0.173015873, -0.350793651, 0.177777778])]
fn cross_entropy_and_its_gradient(
    #[case] weighted: bool,
    #[case] smoothing: f64,
    #[case] value: f64,
    #[case] gradient: [f64; 9],
) {
    let logits = logits();
    let targets = Tensor::new(&[0_u32, 2, 1], &Device::Cpu).unwrap();
    let weights = Tensor::new(&[1.0_f64, 2.0, 0.5], &Device::Cpu).unwrap();
    let loss = cross_entropy(&logits, &targets, weighted.then_some(&weights), smoothing).unwrap();
    check(&loss, &logits, value, &gradient);
}

#[test]
fn soft_cross_entropy_and_its_gradient() {
    let logits = logits();
    let teacher = Tensor::new(&[[1.0_f64, 0.0, -1.0], [2.0, 2.0, 0.0], [-1.0, 0.0, 3.0]], &Device::Cpu).unwrap();
    let gradient = [
        0.057302176,
        -0.127861576,
        0.0705594,
        -0.165505939,
        0.239872551,
        -0.074366612,
        0.165843684,
        0.110791733,
        -0.276635417,
    ];
    check(&soft_cross_entropy(&logits, &teacher, 2.5).unwrap(), &logits, 1.0140332680887827, &gradient);
}

/// numpy 2.4.6: `(p * log(p / q)).sum() * 2.5**2 / 3` for the mean `p` of two teachers' softmax at 2.5.
#[test]
fn several_teachers_are_one_of_their_mean_distribution() {
    let rows = |rows: [[f64; 3]; 3]| Tensor::new(&rows, &Device::Cpu).unwrap();
    let teachers = [
        rows([[1.0, 0.0, -1.0], [2.0, 2.0, 0.0], [-1.0, 0.0, 3.0]]),
        rows([[0.0, 3.0, 1.0], [-2.0, 1.0, 1.0], [0.5, 0.5, 0.5]]),
    ];
    let mean = mean_of_distributions(&teachers, 2.5).unwrap();
    let loss = soft_cross_entropy(&logits(), &mean, 2.5).unwrap().to_scalar::<f64>().unwrap();
    assert!((loss - 1.0534157391884282).abs() < 1e-12, "{loss}");
    let windows = teachers.map(|teacher| teacher.unsqueeze(0).unwrap());
    let of_windows = mean_of_distributions(&windows, 2.5).unwrap().squeeze(0).unwrap();
    assert_eq!(of_windows.to_vec2::<f64>().unwrap(), mean.to_vec2::<f64>().unwrap());
}

#[test]
fn several_embeddings_are_one_of_their_mean_direction() {
    let rows = |rows: [[f64; 2]; 2]| Tensor::new(&rows, &Device::Cpu).unwrap();
    let mean = mean_of_directions(&[rows([[3.0, 4.0], [0.0, 2.0]]), rows([[0.0, 5.0], [0.0, 9.0]])]).unwrap();
    for (found, expected) in mean.flatten_all().unwrap().to_vec1::<f64>().unwrap().iter().zip([0.3, 0.9, 0.0, 1.0]) {
        assert!((found - expected).abs() < 1e-12, "{found}, {expected}");
    }
}

#[test]
fn a_student_equal_to_its_teacher_has_no_loss() {
    let logits = logits();
    let loss = soft_cross_entropy(&logits, &logits.as_detached_tensor(), 4.0).unwrap();
    assert!(loss.to_scalar::<f64>().unwrap().abs() < 1e-15);
}

#[test]
fn mean_squared_error_and_its_gradient() {
    let outputs = Var::new(&[[1.0_f64], [4.0]], &Device::Cpu).unwrap();
    let targets = Tensor::new(&[0.0_f64, 6.0], &Device::Cpu).unwrap();
    check(&mean_squared_error(&outputs, &targets).unwrap(), &outputs, 2.5, &[1.0, -2.0]);
}

/// 1 - 3/5 in the first row, whose gradient is -(b / (|a| |b|) - cos a / |a|^2); nothing in the second.
#[test]
fn cosine_distance_and_its_gradient() {
    let own = Var::new(&[[3.0_f64, 4.0], [0.0, 2.0]], &Device::Cpu).unwrap();
    let wanted = Tensor::new(&[[1.0_f64, 0.0], [0.0, 5.0]], &Device::Cpu).unwrap();
    check(&cosine_distance(&own, &wanted).unwrap(), &own, 0.2, &[-0.064, 0.048, 0.0, 0.0]);
    let message = cosine_distance(&own, &Tensor::new(&[[1.0_f64], [1.0]], &Device::Cpu).unwrap()).unwrap_err();
    assert_eq!(message.to_string(), "the teacher's outputs have shape [2, 1], expected [2, 2]");
}

#[test]
fn squared_difference_leaves_padding_out() {
    let own = Var::new(&[[[1.0_f64, 0.0], [5.0, 5.0]]], &Device::Cpu).unwrap();
    let wanted = Tensor::zeros((1, 2, 2), candle_core::DType::F64, &Device::Cpu).unwrap();
    let mask = Tensor::new(&[[1_u32, 0]], &Device::Cpu).unwrap();
    check(&squared_difference(&own, &wanted, Some(&mask)).unwrap(), &own, 0.5, &[1.0, 0.0, 0.0, 0.0]);
    check(&squared_difference(&own, &wanted, None).unwrap(), &own, 12.75, &[0.5, 0.0, 2.5, 2.5]);
}

/// Vectors of three tokens in two rows, of which the last is padding.
fn tokens(width: usize, [step, start, modulus]: [usize; 3], divisor: f64) -> Tensor {
    let number = |index: usize| ((index * step + start) % modulus) as f64 / divisor - 1.0;
    Tensor::from_vec((0..6 * width).map(number).collect(), (2, 3, width), &Device::Cpu).unwrap()
}

fn seen(causal: bool, like: &Tensor) -> Seen {
    let mask = Tensor::new(&[[1_u32, 1, 1], [1, 1, 0]], &Device::Cpu).unwrap();
    Seen::new(3, Some(&mask), causal, like).unwrap()
}

#[rstest]
#[case(false, 0.11139650141912345, [-0.019424087, -0.020706701, -0.035615763, 0.006342143, 0.003331427, 0.028533606, -0.004590657, 0.020021647, 0.008322356, 0.015619571, 0.04682128, -0.034705439, 0.042763443, -0.027982238, 0.004149128, -0.008558169, -0.03037166, 0.018450097, -0.00766502, 0.013128828, 0.0, 0.0, 0.0, 0.0])]
#[case(true, 0.047524076945085106, [-0.009749138, -0.00930629, -0.001243294, -0.004669072, 0.020568259, 0.014186832, 0.014623034, -0.005734618, -0.000269314, 0.015425504, 0.025227391, -0.019133706, 0.004374221, -0.007873597, 0.0, -0.00503141, -0.015747195, 0.016622039, -0.005590456, 0.012299003, 0.0, 0.0, 0.0, 0.0])]
fn relation_divergence_and_its_gradient(#[case] causal: bool, #[case] value: f64, #[case] gradient: [f64; 24]) {
    let own = Var::from_tensor(&tokens(4, [37, 11, 23], 10.0)).unwrap();
    let wanted = tokens(6, [29, 5, 19], 8.0);
    check(&relation_divergence(&own, &wanted, 2, &seen(causal, &own)).unwrap(), &own, value, &gradient);
    let message = relation_divergence(&own, &wanted, 4, &seen(causal, &own)).unwrap_err().to_string();
    assert_eq!(message, "relations have 4 heads, expected a divisor of the width 6");
}

#[test]
fn score_difference_and_its_gradient() {
    let own = Var::from_tensor(&tokens(4, [37, 11, 23], 10.0)).unwrap();
    let (keys, wanted_keys) = (tokens(4, [31, 3, 17], 8.0), tokens(6, [23, 7, 13], 6.0));
    let teacher = [&tokens(6, [29, 5, 19], 8.0), &wanted_keys];
    let gradient = [
        -0.023487069,
        -0.026654177,
        -0.010453102,
        -0.008001425,
        0.025568716,
        0.040099619,
        -0.006808139,
        0.043715915,
        0.028821369,
        0.037742838,
        0.0357845,
        -0.026229161,
        0.048596768,
        -0.06744037,
        -0.084496486,
        0.055699885,
        -0.015020274,
        0.004555436,
        0.056183158,
        -0.043319464,
        0.0,
        0.0,
        0.0,
        0.0,
    ];
    let loss = score_difference([&own, &keys], teacher, [2, 3], &seen(false, &own)).unwrap();
    check(&loss, &own, 0.31070578559715245, &gradient);
    let message = score_difference([&own, &keys], teacher, [2, 2], &seen(false, &own)).unwrap_err().to_string();
    assert_eq!(message, "the teacher's tokens are related in shape [2, 3, 3, 3], expected [2, 2, 3, 3]");
}

#[test]
fn attention_that_is_its_teachers_has_no_loss_and_no_gradient() {
    let own = Var::from_tensor(&tokens(4, [37, 11, 23], 10.0)).unwrap();
    let same = own.as_detached_tensor();
    for causal in [false, true] {
        let loss = relation_divergence(&own, &same, 2, &seen(causal, &own)).unwrap();
        check(&loss, &own, 0.0, &[0.0; 24]);
    }
    let loss = score_difference([&own, &own], [&same, &same], [2, 2], &seen(false, &own)).unwrap();
    check(&loss, &own, 0.0, &[0.0; 24]);
}

#[test]
fn huge_logits_stay_finite() {
    let logits = Tensor::new(&[[1e30_f32, -1e30]], &Device::Cpu).unwrap();
    let right = Tensor::new(&[0_u32], &Device::Cpu).unwrap();
    assert_eq!(cross_entropy(&logits, &right, None, 0.0).unwrap().to_scalar::<f32>().unwrap(), 0.0);
}

#[test]
fn shapes_that_do_not_fit_are_named() {
    let targets = Tensor::new(&[0_u32, 1], &Device::Cpu).unwrap();
    let message = cross_entropy(&logits(), &targets, None, 0.0).unwrap_err().to_string();
    assert_eq!(message, "targets have shape [2], expected [3]");
    let message = mean_squared_error(&logits(), &targets).unwrap_err().to_string();
    assert_eq!(message, "the model gives 3 numbers a row, expected 1 for a regression");
}
